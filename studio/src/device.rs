//! Which device the work is done on: a GPU by its name, or the processor.

use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::gpu;
use foveate::low_level::graph::{AdapterClass, Arithmetic, Caps};
use foveate::{Device, Error, Gpu, GpuOptions, Result};

use crate::tuning;

/// The processor, as adapters are named.
pub const CPU: &str = "cpu";
/// The fastest GPU, even where that is a software adapter.
const GPU: &str = "gpu";

/// The device that somebody asks for.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Part of an adapter's name, [`CPU`] or "gpu"; nobody named one.
    pub adapter: Option<String>,
    /// Threads of the processor; none: all it has.
    pub threads: Option<usize>,
    /// The most memory that is allocated, in bytes; none: as much as there is.
    pub max_memory: Option<u64>,
    /// Whether the kernels follow their estimates even where variants were measured.
    pub untuned: bool,
    /// In which numbers a GPU multiplies.
    pub arithmetic: Arithmetic,
}

impl Choice {
    /// The device of this name.
    pub fn named(adapter: &str) -> Self {
        Self { adapter: Some(adapter.to_owned()), ..Self::default() }
    }

    /// The device that was named. Where none was, the fastest GPU; and the processor where there is no GPU, since it is
    /// several times as fast as a software adapter. A profile needs a GPU, of whatever kind.
    pub async fn open(&self, profile: bool) -> Result<Device> {
        self.open_with(profile, profile).await
    }

    /// The same for measuring: a GPU is opened with timestamps.
    pub async fn open_for_times(&self) -> Result<Device> {
        self.open_with(false, true).await
    }

    /// The same for what only a GPU has: without a name the fastest, even where that is a software adapter.
    pub async fn open_gpu(&self) -> Result<Device> {
        self.open_with(true, false).await
    }

    /// Whether nobody named a device.
    pub fn is_open(&self) -> bool {
        self.adapter.is_none()
    }

    async fn open_with(&self, needs_gpu: bool, profile: bool) -> Result<Device> {
        let device = self.find(needs_gpu, profile).await?;
        device.set_max_memory(self.max_memory);
        Ok(device)
    }

    async fn find(&self, needs_gpu: bool, profile: bool) -> Result<Device> {
        let named = self.adapter.as_deref();
        if named == Some(CPU) || (named.is_none() && !needs_gpu && !has_gpu().await) {
            return processor(self.threads);
        }
        if self.threads.is_some() {
            return Err(Error::Usage(format!("threads: only the processor has them, the adapter {CPU:?}")));
        }
        let adapter = named.filter(|name| *name != GPU).map(str::to_owned);
        let gpu =
            Gpu::request(GpuOptions { adapter, profile, arithmetic: self.arithmetic, ..GpuOptions::default() }).await?;
        Ok(if self.untuned { gpu } else { tuning::followed(gpu)? }.into())
    }
}

/// The processor, with so many threads; none given: with all it has.
pub fn processor(threads: Option<usize>) -> Result<Device> {
    Ok(Processor::new(ProcessorOptions { threads, ..ProcessorOptions::default() })?.into())
}

/// Whether a device is the processor.
pub fn is_processor(device: &Device) -> bool {
    device.executor::<Processor>().is_some()
}

async fn has_gpu() -> bool {
    gpu::adapters().await.iter().any(is_gpu)
}

/// Whether an adapter is a GPU, by an API that Foveate draws with. Programs with windows may find OpenGL, too.
pub fn is_gpu(caps: &Caps) -> bool {
    caps.class == AdapterClass::Hardware && caps.backend != "Gl"
}
