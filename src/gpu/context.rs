//! The device: requested here, or borrowed from a host program.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::caps::caps_of;
use super::fault::Fault;
use super::oneshot::oneshot;
use super::pipeline::Pipelines;
use crate::device::DeviceId;
use crate::graph::Caps;
use crate::text::one_line;
use crate::{Error, Refusal, Result};

/// How to choose an adapter.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of the adapter's name, case-insensitive. None: the fastest.
    pub adapter: Option<String>,
    /// Ask for timestamp queries where the adapter has them.
    pub profile: bool,
}

/// A device with its capabilities and compiled pipelines. Cloning shares it.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    id: DeviceId,
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    pipelines: Pipelines,
    /// Where the host owns the device, it knows only what [`Gpu::alive`] found.
    fault: Fault,
    /// Whether the host owns the device.
    borrowed: bool,
}

/// How long a borrowed queue is waited for, where the host has filled it, before it is believed to be the device's.
#[cfg(not(target_arch = "wasm32"))]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Every adapter of this machine with its capabilities.
pub async fn adapters() -> Vec<Caps> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    adapters.iter().map(|a| caps_of(&a.get_info(), a.features(), &a.limits())).collect()
}

/// What to do where no adapter is found.
pub const INSTALL_HINT: &str = "install a Vulkan driver (Debian/Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1 \
                            gives a software one), or update the graphics driver";

impl Gpu {
    /// Opens an adapter and a device with the limits it offers.
    pub async fn request(options: GpuOptions) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = match &options.adapter {
            None => {
                let wish = wgpu::RequestAdapterOptions {
                    power_preference: wgpu::PowerPreference::HighPerformance,
                    ..Default::default()
                };
                let found = instance.request_adapter(&wish).await;
                found.map_err(|e| Error::NoAdapter(format!("{INSTALL_HINT} ({e})")))?
            }
            Some(name) => {
                let all = instance.enumerate_adapters(wgpu::Backends::all()).await;
                let names: Vec<_> = all.iter().map(|a| a.get_info().name).collect();
                let wanted = name.to_lowercase();
                let found = all.into_iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted));
                found.ok_or_else(|| match names.is_empty() {
                    true => Error::NoAdapter(INSTALL_HINT.into()),
                    false => Refusal::UnknownAdapter { name: name.clone(), known: names }.into(),
                })?
            }
        };
        Self::open(&adapter, options.profile).await
    }

    /// Opens a device of its own on an adapter that the host has chosen; with timestamp queries where `profile` asks
    /// for them and the adapter has them.
    pub async fn open(adapter: &wgpu::Adapter, profile: bool) -> Result<Self> {
        let mut features = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        if profile {
            features |= wgpu::Features::TIMESTAMP_QUERY;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("foveate"),
            required_features: adapter.features() & features,
            required_limits: adapter.limits(),
            // Models are a few large, long-lived buffers: do not grow pools around them.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|e| Error::Gpu(format!("opening the device: {e}")))?;
        let fault = Fault::default();
        let keep = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| keep.note(from_wgpu(&error))));
        let keep = fault.clone();
        device.set_device_lost_callback(move |_, message| keep.lose(message));
        Self::new(adapter, (device, queue), fault, false)
    }

    /// Borrows a host program's device. Its error handler and its limits stay as they are. Natively this waits until
    /// what the host has submitted is done, to find out whether the queue is the device's.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let gpu = Self::new(adapter, (device, queue), Fault::default(), true)?;
        gpu.alive()?;
        #[cfg(not(target_arch = "wasm32"))]
        gpu.check_queue()?;
        Ok(gpu)
    }

    /// Fails where the queue is another device's: what is submitted there would be waited for without end.
    #[cfg(not(target_arch = "wasm32"))]
    fn check_queue(&self) -> Result<()> {
        let done = Arc::new(AtomicBool::new(false));
        let told = done.clone();
        self.queue().on_submitted_work_done(move || told.store(true, Ordering::Release));
        let polled = self.device().poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) });
        match polled {
            // The device has nothing left to do, and its queue has not said so.
            Ok(_) if !done.load(Ordering::Acquire) => Err(Error::NotThisDevice { what: "the queue".into() }),
            _ => Ok(()),
        }
    }

    /// Fails where a borrowed device is gone. Its loss is told to the host alone, and what it is asked for then fails
    /// without a word, but for the mapping of a buffer. A device of Foveate's own tells its loss itself.
    pub(super) fn alive(&self) -> Result<()> {
        // A browser refuses later, so that nothing is learnt there.
        if self.0.borrowed && cfg!(not(target_arch = "wasm32")) && !self.maps() {
            self.0.fault.lose("its host has destroyed it, or its driver has restarted".into());
        }
        self.0.fault.lost()
    }

    /// Whether the device maps a buffer.
    fn maps(&self) -> bool {
        let refused = Arc::new(AtomicBool::new(false));
        let told = refused.clone();
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let probe = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // A device that is gone refuses at once. Another would map it later, when nobody asks any more.
        probe.map_async(wgpu::MapMode::Read, .., move |mapped| {
            if mapped.is_err() {
                told.store(true, Ordering::Release);
            }
        });
        let refused = refused.load(Ordering::Acquire);
        drop(scope.pop());
        !refused
    }

    fn new(
        adapter: &wgpu::Adapter,
        (device, queue): (wgpu::Device, wgpu::Queue),
        fault: Fault,
        borrowed: bool,
    ) -> Result<Self> {
        let caps = caps_of(&adapter.get_info(), device.features(), &device.limits());
        let least = Caps::minimum();
        for (limit, available, needed) in [
            ("max_storage_buffers_per_shader_stage", caps.max_storage_buffers, least.max_storage_buffers),
            ("max_compute_workgroup_storage_size", caps.workgroup_memory, least.workgroup_memory),
            ("max_compute_invocations_per_workgroup", caps.workgroup_threads, least.workgroup_threads),
        ] {
            if available < needed {
                let what = "every kernel".into();
                return Err(Error::Limit { what, limit, needed: needed.into(), available: available.into() });
            }
        }
        let (id, pipelines) = (DeviceId::unique(), Pipelines::default());
        Ok(Self(Arc::new(Inner { id, device, queue, caps, pipelines, fault, borrowed })))
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// The same device, believed to have `caps`: how tests meet small limits and other adapter classes.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_caps(&self, caps: Caps) -> Self {
        let Inner { id, device, queue, fault, borrowed, .. } = &*self.0;
        let (device, queue, fault, borrowed) = (device.clone(), queue.clone(), fault.clone(), *borrowed);
        Self(Arc::new(Inner { id: *id, device, queue, caps, pipelines: Pipelines::default(), fault, borrowed }))
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// Its identity.
    pub(super) fn id(&self) -> DeviceId {
        self.0.id
    }

    pub(super) fn pipelines(&self) -> &Pipelines {
        &self.0.pipelines
    }

    /// Waits until everything submitted so far has run.
    pub async fn wait(&self) -> Result<()> {
        let (sender, receiver) = oneshot();
        self.queue().on_submitted_work_done(move || sender.send(Ok(())));
        // Blocks natively; has no effect in a browser, where the event loop completes the future below.
        let polled = self.device().poll(wgpu::PollType::wait_indefinitely());
        self.check()?; // says more than a failed wait: that the device was lost
        polled.map_err(|e| Error::Gpu(format!("waiting for the device: {e}")))?;
        let done: Result<(), wgpu::BufferAsyncError> = self.unless_lost(receiver).await?;
        done.map_err(|e| Error::Gpu(e.to_string()))?;
        self.0.fault.check() // whether a borrowed device lives was asked above
    }

    /// The first error that no scope caught, if there was one; the loss of the device every time it is asked.
    pub fn check(&self) -> Result<()> {
        self.alive()?;
        self.0.fault.check()
    }

    /// Waits until the device is lost, and says why. The loss of a borrowed device is reported to the host: here it is
    /// noticed when something is asked of the device.
    pub fn lost(&self) -> impl Future<Output = Error> + Send + use<> {
        self.0.fault.clone().loss()
    }

    /// Waits for something of the device: every wait goes through here, and ends when the device is lost.
    pub(super) async fn unless_lost<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        self.0.fault.unless_lost(future).await
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.0.caps)
    }
}

pub(super) fn from_wgpu(error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory("running".into()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Gpu(one_line(description))
        }
    }
}
