//! Which device the work is done on: a GPU by its name, or the processor.

use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::gpu;
use foveate::low_level::graph::{AdapterClass, Caps};
use foveate::{Device, Gpu, GpuOptions, Result};

/// The processor, as `--adapter` names it.
pub const CPU: &str = "cpu";
/// The fastest GPU, even where that is a software adapter.
const GPU: &str = "gpu";

/// The device that was named. Where none was, the fastest GPU; and the processor where there is no GPU, since it is
/// several times as fast as a software adapter. A profile needs a GPU, of whatever kind.
pub async fn open(name: Option<&str>, profile: bool) -> Result<Device> {
    match name {
        None if !profile && !has_gpu().await => processor(),
        name => named(name.unwrap_or(GPU), profile).await,
    }
}

/// The same for measuring: a GPU is opened with timestamps.
pub async fn open_for_times(name: Option<&str>) -> Result<Device> {
    match name {
        None if !has_gpu().await => processor(),
        name => named(name.unwrap_or(GPU), true).await,
    }
}

async fn named(name: &str, profile: bool) -> Result<Device> {
    let adapter = match name {
        CPU => return processor(),
        GPU => None,
        name => Some(name.to_owned()),
    };
    Ok(Gpu::request(GpuOptions { adapter, profile, ..Default::default() }).await?.into())
}

/// The processor, with all its threads.
pub fn processor() -> Result<Device> {
    Ok(Processor::new(ProcessorOptions::default())?.into())
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
