//! Which device a command works on: a GPU by its name, or the processor.

use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::gpu;
use foveate::low_level::graph::AdapterClass;
use foveate::{Device, Error, Gpu, GpuOptions, Result};

use super::values::count;

/// The processor, as `--adapter` names it.
pub const CPU: &str = "cpu";
/// The fastest GPU, even where that is a software adapter.
const GPU: &str = "gpu";

/// The device, as `generate` and `bench` ask for it.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Part of the adapter's name (see `foveate devices`); cpu: the processor; gpu: the fastest GPU, software ones too
    /// [default: the fastest GPU, or the processor where there is none; a profile needs a GPU]
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Threads of the processor; the picture is the same with any number [default: as many as the system offers]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    threads: Option<usize>,
}

impl Choice {
    /// The device that was named. Where none was, the fastest GPU; and the processor where there is no GPU, since it is
    /// several times as fast as a software adapter. A profile needs a GPU, of whatever kind.
    pub async fn open(&self, profile: bool) -> Result<Device> {
        self.open_with(profile, profile).await
    }

    /// The same for measuring: a GPU is opened with timestamps.
    pub async fn open_for_times(&self) -> Result<Device> {
        self.open_with(false, true).await
    }

    /// Whether nobody named a device.
    pub fn is_open(&self) -> bool {
        self.adapter.is_none()
    }

    async fn open_with(&self, needs_gpu: bool, timestamps: bool) -> Result<Device> {
        let named = self.adapter.as_deref();
        if named == Some(CPU) || (named.is_none() && !needs_gpu && !has_gpu().await) {
            return processor(self.threads);
        }
        if self.threads.is_some() {
            return Err(Error::Usage(format!("--threads: only the processor has them; give --adapter {CPU}")));
        }
        let adapter = named.filter(|name| *name != GPU).map(str::to_owned);
        Ok(Gpu::request(GpuOptions { adapter, profile: timestamps }).await?.into())
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
    gpu::adapters().await.iter().any(|caps| caps.class == AdapterClass::Hardware)
}
