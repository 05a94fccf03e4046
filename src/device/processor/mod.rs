//! The processor as a device: the same graphs, plans, row maps and policies on CPU threads, every op by its CPU form
//! ([`Op::compute`](crate::graph::Op::compute)).
//!
//! - **Matrix products are ours, in safe Rust, on [`pulp`]'s vectors.** Measured on one thread of a Zen 5 core
//!   (GFLOP/s, best of many, 512×384×1536): `matrixmultiply` 159, `gemm` 66, `rten-gemm` 208, the same with packed
//!   weights 223, ours 226. The tile is 50 lines; it reads rows through a map without copying them, takes weights in
//!   any format and an image as a matrix without im2col, and finishes (bias, activation) what it has just stored.
//!   `matrixmultiply` and `gemm` are unsafe to call, which this crate denies itself; `rten-gemm` blocks by the global
//!   thread pool.
//! - **Weights are packed once, within a budget** ([`ProcessorOptions::packed`]): panels of f32, kept beside the weight
//!   until it is written again. Beyond the budget each product packs a panel at a time and keeps nothing, so that a
//!   large model in 16 bits does not become one in 32.
//! - **The same bytes for any number of threads.** Threads share out the output; no sum is split among them, and a
//!   sum's order does not depend on where its element lies in a tile.
//! - **The caller is in charge of the threads**: a device has a pool of its own, of as many as it is given. One thread
//!   is the caller's. In a browser they are the workers of the module with threads, or the one that calls.
//! - Work is done by the time [`Executor::run`] returns. [`Executor::run_to_end`] gives way every 20 ms, between two
//!   ops: a caller who drops the future has cancelled the work. One thing happens at a time; others wait their turn.

mod program;

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use program::HostProgram;

use super::buffer::zeroed_words;
use super::{Buffer, Copy, Device, DeviceId, Executor, Places, Program};
use crate::Result;
use crate::graph::host::{Budget, Memory, Pool};
use crate::graph::{Caps, Graph};
use crate::kernels::vector_name;
use crate::memory::{Account, MemoryUse};
use crate::shared::{Instant, Work, lock};

/// [`Executor::run_to_end`] gives way after about so long, between two ops: whoever no longer wants the result waits no
/// longer than that, or than an op takes.
const SLICE: Duration = Duration::from_millis(20);

/// The processor, as a device. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Processor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: DeviceId,
    caps: Caps,
    pool: Pool,
    budget: Budget,
    memory: Account,
    /// Held by whoever runs, reads or writes.
    turn: Mutex<()>,
}

/// What a [`Processor`] may use.
#[derive(Clone, Copy, Debug)]
pub struct ProcessorOptions {
    /// How many threads compute; none: as many as the system offers.
    pub threads: Option<usize>,
    /// Bytes of weights that may be kept packed in f32, beside the weights themselves. By default 1 GiB.
    pub packed: u64,
    /// The most memory that may be allocated for tensors, in bytes: more is
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit). None: as much as there is.
    pub max_memory: Option<u64>,
}

impl Default for ProcessorOptions {
    fn default() -> Self {
        Self { threads: None, packed: 1 << 30, max_memory: None }
    }
}

impl Processor {
    /// The processor with threads of its own.
    pub fn new(options: ProcessorOptions) -> Result<Self> {
        let pool = Pool::new(options.threads)?;
        let threads = match pool.threads() {
            1 => "1 thread".to_owned(),
            count => format!("{count} threads"),
        };
        let caps = Caps::host("processor", format!("{threads}, {}", vector_name()));
        let budget = Budget::new(options.packed);
        let memory = Account::default();
        memory.limit(options.max_memory);
        let id = DeviceId::unique();
        Ok(Self(Arc::new(Inner { id, caps, pool, budget, memory, turn: Mutex::default() })))
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.0.pool.threads()
    }
}

impl Processor {
    /// Runs a program for about [`SLICE`], from `at` on; whether it is done.
    fn run_slice(&self, program: &HostProgram, at: &mut usize) -> Result<bool> {
        let _turn = lock(&self.0.turn);
        let start = Instant::now();
        self.run_on(program, at, || start.elapsed() < SLICE)
    }

    fn run_on(&self, program: &HostProgram, at: &mut usize, more: impl Fn() -> bool + Send) -> Result<bool> {
        self.0.pool.enter(|| program.run(&self.0.pool, &self.0.budget, at, more))
    }
}

/// Gives way once, so that whoever awaits the work can leave it.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl From<&Processor> for Device {
    fn from(processor: &Processor) -> Self {
        Self::new(processor.clone())
    }
}

impl From<Processor> for Device {
    fn from(processor: Processor) -> Self {
        Self::new(processor)
    }
}

impl Executor for Processor {
    fn caps(&self) -> &Caps {
        &self.0.caps
    }

    fn allocate<'a>(&'a self, bytes: u64, what: &'a str) -> Work<'a, Buffer> {
        Box::pin(async move {
            self.0.caps.check_tensor(what, bytes)?;
            // As large as a GPU would make it.
            let size = bytes.next_multiple_of(16).max(16);
            let taken = self.0.memory.take(what, size)?;
            let memory = Memory::new(zeroed_words(size, what)?, taken);
            Ok(Buffer::new(self.0.id, size, Arc::new(memory)))
        })
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let memory = buffer.backing(self.0.id)?;
        buffer.check_range(offset, bytes.len() as u64)?;
        let _turn = lock(&self.0.turn);
        program::write(memory, offset, bytes)
    }

    fn read<'a>(&'a self, buffer: &'a Buffer, bytes: u64) -> Work<'a, Vec<u8>> {
        Box::pin(async move {
            let memory = buffer.backing(self.0.id)?;
            let _turn = lock(&self.0.turn);
            program::read(memory, 0, bytes.min(buffer.size()))
        })
    }

    fn compile<'a>(&'a self, graph: Arc<Graph>, places: Places) -> Work<'a, Box<dyn Program>> {
        Box::pin(async move {
            let program: Box<dyn Program> = Box::new(HostProgram::graph(self.0.id, graph, &places)?);
            Ok(program)
        })
    }

    fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>> {
        Ok(Box::new(HostProgram::copies(self.0.id, &copies)?))
    }

    fn run(&self, programs: &[&dyn Program]) -> Result<()> {
        let _turn = lock(&self.0.turn);
        for program in programs {
            self.run_on(program.of(self.0.id)?, &mut 0, || true)?;
        }
        Ok(())
    }

    fn run_to_end<'a>(&'a self, programs: &'a [&'a dyn Program]) -> Work<'a, ()> {
        Box::pin(async move {
            for program in programs {
                let mut at = 0;
                while !self.run_slice(program.of(self.0.id)?, &mut at)? {
                    pause().await;
                }
            }
            Ok(())
        })
    }

    fn memory(&self) -> MemoryUse {
        self.0.memory.used()
    }

    fn set_max_memory(&self, bytes: Option<u64>) {
        self.0.memory.limit(bytes);
    }

    fn flush<'a>(&'a self) -> Work<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn wait<'a>(&'a self) -> Work<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}
