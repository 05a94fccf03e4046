//! Which device pictures are drawn on: the window's own, the processor, or an adapter by its name.

use foveate::{Device, Gpu, Result};
use foveate_studio::device;

/// The window's device, which Foveate shares where it is a GPU's.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The adapter.
    pub adapter: wgpu::Adapter,
    /// Its device.
    pub device: wgpu::Device,
    /// The queue that the window's frames go through too.
    pub queue: wgpu::Queue,
}

/// Opens a device. A window on a software adapter, or on OpenGL, is no place to compute: the processor is faster.
pub(super) fn open(named: Option<&str>, shared: Option<&Shared>) -> Result<Device> {
    match (named, shared) {
        (Some(name), _) => pollster::block_on(device::open(Some(name), false)),
        (None, None) => device::processor(),
        (None, Some(Shared { adapter, device, queue })) => {
            Gpu::from_wgpu(adapter, device.clone(), queue.clone()).map(Device::from)
        }
    }
}
