//! Which device pictures are drawn on: the window's own, the processor, or an adapter by its name.

use std::sync::{Arc, Mutex, PoisonError};

use foveate::{Device, Error, Gpu, Result};
use foveate_studio::{device, tuning};
use wgpu::{Adapter, Backend, DeviceDescriptor, DeviceType, Features, MemoryHints};

/// The window's device, which Foveate shares where it is a GPU's.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The adapter.
    pub adapter: Adapter,
    /// Its device.
    pub device: wgpu::Device,
    /// The queue that the window's frames go through too.
    pub queue: wgpu::Queue,
    /// The first error of the device that nobody caught. Its host is told of it, and the host is the window.
    fault: Arc<Mutex<Option<String>>>,
}

impl Shared {
    /// Shares a device. From now on its errors fail the picture under way; wgpu by itself would end the program.
    pub fn new(adapter: Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let fault = Arc::new(Mutex::new(None));
        let keep = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            keep.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
        }));
        Self { adapter, device, queue, fault }
    }

    /// The error, once, where there was one.
    pub(super) fn check(&self) -> Result<()> {
        match self.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(text) => Err(Error::Gpu(text)),
            None => Ok(()),
        }
    }

    /// Whether Foveate draws on this adapter: a GPU, by one of the APIs that it is tested with.
    pub fn serves(adapter: &Adapter) -> bool {
        let info = adapter.get_info();
        info.device_type != DeviceType::Cpu && matches!(info.backend, Backend::Vulkan | Backend::Metal | Backend::Dx12)
    }

    /// What the window's device is asked for where it is shared: all that Foveate's kernels can use.
    pub fn descriptor(adapter: &Adapter) -> DeviceDescriptor<'static> {
        DeviceDescriptor {
            label: Some("foveate window"),
            required_features: adapter.features() & (Features::SHADER_F16 | Features::SUBGROUP),
            required_limits: adapter.limits(),
            // Models are a few large, long-lived buffers: do not grow pools around them.
            memory_hints: MemoryHints::MemoryUsage,
            ..DeviceDescriptor::default()
        }
    }
}

/// Opens a device. A window on a software adapter, or on OpenGL, is no place to compute: the processor is faster.
pub(super) fn open(named: Option<&str>, shared: Option<&Shared>) -> Result<Device> {
    match (named, shared) {
        (Some(name), _) => pollster::block_on(device::Choice::named(name).open(false)),
        (None, None) => device::processor(None),
        (None, Some(Shared { adapter, device, queue, .. })) => {
            let gpu = Gpu::from_wgpu(adapter, device.clone(), queue.clone())?;
            tuning::followed(gpu).map(Device::from)
        }
    }
}
