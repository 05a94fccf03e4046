//! What a device must be able to do.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use super::{Buffer, DeviceId, Places};
use crate::graph::{Caps, Graph};
use crate::memory::MemoryUse;
use crate::shared::{Shared, Work};
use crate::{Error, Result};

/// What a device must be able to do. Everything that can wait is asynchronous, because a browser cannot block.
///
/// A buffer or a program of another device is an error ([`Error::NotThisDevice`]).
pub trait Executor: Any + Debug + Shared {
    /// What it can do.
    fn caps(&self) -> &Caps;

    /// Zeroed memory of at least `bytes`; `what` names it in errors.
    fn allocate<'a>(&'a self, bytes: u64, what: &'a str) -> Work<'a, Buffer>;

    /// Writes `bytes` (a multiple of 4) at `offset` (another), after all that was run before and before all that runs
    /// later.
    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Reads `bytes` bytes from the start of `buffer`, after all that was run before.
    fn read<'a>(&'a self, buffer: &'a Buffer, bytes: u64) -> Work<'a, Vec<u8>>;

    /// Makes `graph` ready to run, with its values in the given places.
    fn compile<'a>(&'a self, graph: Arc<Graph>, places: Places) -> Work<'a, Box<dyn Program>>;

    /// Compiles what some ops of `graph` run, by their places in [`Graph::nodes`], where that takes long:
    /// [`Executor::compile`] of the graph then does not.
    fn warm<'a>(&'a self, _graph: &'a Graph, _ops: Range<usize>) -> Work<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Makes copies between buffers ready to run.
    fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>>;

    /// Runs programs in order, and returns without waiting for them. What takes a GPU long is handed over in slices.
    fn run(&self, programs: &[&dyn Program]) -> Result<()>;

    /// Runs programs in order to their end. A GPU receives slice after slice, the next when one is done, so that others
    /// who use it wait for a slice and not for all. Dropping the future cancels the slices that are not handed over
    /// yet.
    fn run_to_end<'a>(&'a self, programs: &'a [&'a dyn Program]) -> Work<'a, ()> {
        Box::pin(async move {
            self.run(programs)?;
            self.wait().await
        })
    }

    /// How much memory is in use, was at most, and may be.
    fn memory(&self) -> MemoryUse;

    /// Bounds the memory that is allocated from here on, in bytes: more is
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit). None: as much as there is.
    fn set_max_memory(&self, bytes: Option<u64>);

    /// Hands queued writes to the device and waits until their staging memory is free again. Streaming a model calls
    /// this every few dozen MiB, so that its size is never held twice.
    fn flush<'a>(&'a self) -> Work<'a, ()>;

    /// Waits until everything that was run so far is done.
    fn wait<'a>(&'a self) -> Work<'a, ()>;

    /// The first error that no call could return, once.
    fn check(&self) -> Result<()>;
}

/// Something that the device which made it can run, any number of times. Making it allocates; running it does not
/// have to.
pub trait Program: Any + Debug + Shared {
    /// The device that made it.
    fn device(&self) -> DeviceId;
}

impl dyn Program {
    /// The program itself, for the device that made it; for any other it is an error.
    pub fn of<T: Program>(&self, device: DeviceId) -> Result<&T> {
        let own = self.behind().filter(|_| self.device() == device);
        own.ok_or_else(|| Error::NotThisDevice { what: "a program".into() })
    }

    /// The program itself, where a device of this kind made it.
    pub(crate) fn behind<T: Program>(&self) -> Option<&T> {
        let program: &dyn Any = self;
        program.downcast_ref()
    }
}

/// Copies bytes between two buffers.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Read from here.
    pub from: Buffer,
    /// At this byte, a multiple of 4.
    pub offset: u64,
    /// Written to the start of this.
    pub to: Buffer,
    /// So many bytes, a multiple of 4.
    pub bytes: u64,
}

impl Copy {
    /// Fails where the bytes do not lie in both buffers, or are no whole words.
    pub(crate) fn check(&self) -> Result<()> {
        self.from.check_range(self.offset, self.bytes)?;
        self.to.check_range(0, self.bytes)
    }
}
