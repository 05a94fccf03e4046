//! A GPU as a device among others.

use std::ops::Range;
use std::sync::Arc;

use super::recording::Recording;
use super::{Cursor, Gpu};
use crate::device::{Buffer, Copy, Device, Executor, Places, Program};
use crate::graph::{Caps, Graph};
use crate::memory::MemoryUse;
use crate::shared::Work;
use crate::{Error, Result};

impl Executor for Gpu {
    fn caps(&self) -> &Caps {
        self.caps()
    }

    fn allocate<'a>(&'a self, bytes: u64, what: &'a str) -> Work<'a, Buffer> {
        Box::pin(self.allocate(bytes, what))
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write(buffer, offset, bytes)
    }

    fn read<'a>(&'a self, buffer: &'a Buffer, bytes: u64) -> Work<'a, Vec<u8>> {
        Box::pin(self.read(buffer, bytes))
    }

    fn compile<'a>(&'a self, graph: Arc<Graph>, places: Places) -> Work<'a, Box<dyn Program>> {
        Box::pin(async move {
            let program: Box<dyn Program> = Box::new(self.record(&graph, &places).await?);
            Ok(program)
        })
    }

    fn warm<'a>(&'a self, graph: &'a Graph, ops: Range<usize>) -> Work<'a, ()> {
        Box::pin(self.warm(graph, ops))
    }

    fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>> {
        Ok(Box::new(Recording::copies(self.id(), copies)?))
    }

    fn run(&self, programs: &[&dyn Program]) -> Result<()> {
        self.alive()?;
        let mut at = Cursor::default();
        while !self.submit_slice(programs, &mut at)? {}
        Ok(())
    }

    fn run_to_end<'a>(&'a self, programs: &'a [&'a dyn Program]) -> Work<'a, ()> {
        Box::pin(async move {
            self.alive()?;
            let (mut at, mut before) = (Cursor::default(), None);
            loop {
                let last = self.submit_slice(programs, &mut at)?;
                // One slice runs and one is ready, so that the device is never without work and a host waits for no
                // more than these.
                let done = self.done();
                if let Some(before) = before.replace(done) {
                    before.await?;
                }
                if last {
                    break;
                }
            }
            match before {
                Some(done) => done.await,
                None => Ok(()),
            }
        })
    }

    fn memory(&self) -> MemoryUse {
        self.memory()
    }

    fn set_max_memory(&self, bytes: Option<u64>) {
        self.set_max_memory(bytes);
    }

    fn flush<'a>(&'a self) -> Work<'a, ()> {
        Box::pin(self.flush())
    }

    fn wait<'a>(&'a self) -> Work<'a, ()> {
        Box::pin(self.wait())
    }

    fn check(&self) -> Result<()> {
        self.check()
    }
}

impl Gpu {
    /// Submits the next slice of `programs`; whether it was the last.
    fn submit_slice(&self, programs: &[&dyn Program], at: &mut Cursor) -> Result<bool> {
        let mut encoder = self.encoder();
        let last = self.encode_slice(programs, at, self.slice(), &mut encoder)?;
        self.submit(encoder);
        Ok(last)
    }
}

impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::new(gpu)
    }
}

impl From<&Gpu> for Device {
    fn from(gpu: &Gpu) -> Self {
        Self::new(gpu.clone())
    }
}

impl Device {
    /// The GPU that it is; an error that says that `what` ("a texture") needs one, where it is another device.
    pub fn gpu(&self, what: &str) -> Result<&Gpu> {
        self.executor().ok_or_else(|| Error::NeedsGpu { what: what.into(), device: self.caps().name.clone() })
    }
}
