//! A GPU as a device among others.

use std::sync::Arc;

use super::Gpu;
use super::recording::Recording;
use crate::device::{Buffer, Copy, Device, Executor, Places, Program};
use crate::graph::{Caps, Graph};
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

    fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>> {
        Ok(Box::new(Recording::copies(self.id(), copies)?))
    }

    fn run(&self, programs: &[&dyn Program]) -> Result<()> {
        let recordings: Vec<&Recording> =
            programs.iter().map(|program| program.of(self.id())).collect::<Result<_>>()?;
        self.alive()?;
        let mut encoder = self.encoder();
        recordings.into_iter().for_each(|recording| recording.encode(&mut encoder));
        self.submit(encoder);
        Ok(())
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
