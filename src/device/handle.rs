//! The handle that everything above the seam holds.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use super::{Buffer, Copy, Executor, Places, Program};
use crate::Result;
use crate::graph::{Caps, Graph};
use crate::memory::MemoryUse;

/// Where graphs run. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Device(Arc<dyn Executor>);

impl Device {
    /// A device that this executor runs.
    pub fn new(executor: impl Executor) -> Self {
        Self(Arc::new(executor))
    }

    /// The executor behind it, where that is a `T`.
    pub fn executor<T: Executor>(&self) -> Option<&T> {
        let executor: &dyn Any = &*self.0;
        executor.downcast_ref()
    }

    /// What it can do.
    pub fn caps(&self) -> &Caps {
        self.0.caps()
    }

    /// See [`Executor::allocate`].
    pub async fn allocate(&self, bytes: u64, what: &str) -> Result<Buffer> {
        self.0.allocate(bytes, what).await
    }

    /// See [`Executor::write`].
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(buffer, offset, bytes)
    }

    /// See [`Executor::read`].
    pub async fn read(&self, buffer: &Buffer, bytes: u64) -> Result<Vec<u8>> {
        self.0.read(buffer, bytes).await
    }

    /// See [`Executor::compile`]. Most callers want a [`Plan`](super::Plan), which lays out the memory as well.
    pub async fn compile(&self, graph: Arc<Graph>, places: Places) -> Result<Box<dyn Program>> {
        self.0.compile(graph, places).await
    }

    /// See [`Executor::warm`].
    pub async fn warm(&self, graph: &Graph, ops: Range<usize>) -> Result<()> {
        self.0.warm(graph, ops).await
    }

    /// See [`Executor::copies`].
    pub fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>> {
        self.0.copies(copies)
    }

    /// See [`Executor::run`].
    pub fn run(&self, programs: &[&dyn Program]) -> Result<()> {
        self.0.run(programs)
    }

    /// See [`Executor::run_to_end`].
    pub async fn run_to_end(&self, programs: &[&dyn Program]) -> Result<()> {
        self.0.run_to_end(programs).await
    }

    /// How much memory is in use, was at most, and may be.
    pub fn memory(&self) -> MemoryUse {
        self.0.memory()
    }

    /// See [`Executor::set_max_memory`].
    pub fn set_max_memory(&self, bytes: Option<u64>) {
        self.0.set_max_memory(bytes);
    }

    /// See [`Executor::flush`].
    pub async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    /// See [`Executor::wait`].
    pub async fn wait(&self) -> Result<()> {
        self.0.wait().await
    }

    /// See [`Executor::check`].
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }
}

impl From<&Device> for Device {
    fn from(device: &Device) -> Self {
        device.clone()
    }
}
