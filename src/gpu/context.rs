//! The device: requested here, or borrowed from a host program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::borrowed::Borrowed;
use super::caps::caps_of;
use super::cost::Rates;
use super::fault::Fault;
use super::needs;
use super::pipeline::Pipelines;
#[cfg(not(target_arch = "wasm32"))]
use super::poller::Poller;
use super::stopwatch::Stopwatch;
use super::unchecked;
#[cfg(not(target_arch = "wasm32"))]
use super::wait::poller;
#[cfg(any(test, feature = "testing"))]
use super::watch::Watch;
use crate::device::DeviceId;
use crate::graph::{Arithmetic, Caps, Choices};
use crate::memory::{Account, MemoryUse};
use crate::text::one_line;
use crate::{Error, Refusal, Result};

/// How to choose an adapter.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of the adapter's name, case-insensitive. None: the fastest.
    pub adapter: Option<String>,
    /// Ask for timestamp queries where the adapter has them.
    pub profile: bool,
    /// The most memory that may be allocated, in bytes: more is [`Error::MemoryLimit`]. None: as much as there is.
    pub max_memory: Option<u64>,
    /// Run all kernels with bounds checks: see [`Gpu::set_checked`].
    pub checked: bool,
    /// In which numbers products are taken: see [`Gpu::multiplying`].
    pub arithmetic: Arithmetic,
}

/// A device with its capabilities and compiled pipelines. Cloning shares it.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    id: DeviceId,
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    pipelines: Arc<Pipelines>,
    rates: Rates,
    fault: Fault,
    /// Where the host owns the device.
    borrowed: Option<Borrowed>,
    stopwatch: Stopwatch,
    memory: Account,
    /// Microseconds that what is submitted here takes at most.
    slice: AtomicU64,
    /// Whether all kernels run with checks.
    checked: AtomicBool,
    #[cfg(not(target_arch = "wasm32"))]
    poller: Poller,
}

/// What is submitted here takes about so long at most, unless the host says otherwise. Windows ends what takes two
/// seconds as a hang; a window whose frames wait for such a slice still follows the mouse.
const SLICE: Duration = Duration::from_millis(100);

/// Every adapter of this machine with its capabilities.
pub async fn adapters() -> Vec<Caps> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    adapters.iter().map(|a| caps_of(a, a.features(), &a.limits())).collect()
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
        let gpu = Self::open(&adapter, options.profile).await?;
        gpu.set_max_memory(options.max_memory);
        if options.checked {
            gpu.set_checked(true);
        }
        Ok(gpu.multiplying(options.arithmetic))
    }

    /// Opens a device of its own on an adapter that the host has chosen; with timestamp queries where `profile` asks
    /// for them and the adapter has them.
    pub async fn open(adapter: &wgpu::Adapter, profile: bool) -> Result<Self> {
        let mut features = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        if profile {
            features |= wgpu::Features::TIMESTAMP_QUERY;
        }
        let units = needs::of_matrix_units(&adapter.get_info()).filter(|needed| adapter.features().contains(*needed));
        features |= units.unwrap_or_default();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("foveate"),
            required_features: adapter.features() & features,
            required_limits: adapter.limits(),
            experimental_features: units.map_or_else(Default::default, |_| unchecked::experimental()),
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
        Self::new(adapter, (device, queue), fault, None)
    }

    /// Borrows a host program's device. Its error handler and its limits stay as they are. It needs
    /// [`required_features`](super::required_features) and [`required_limits`](super::required_limits).
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let borrowed = Some(Borrowed::new(&queue));
        let gpu = Self::new(adapter, (device, queue), Fault::default(), borrowed)?;
        gpu.alive()?;
        Ok(gpu)
    }

    /// Fails where a borrowed device is gone, or has another queue. Nobody is told of it; a device of Foveate's own
    /// tells its loss itself.
    pub(super) fn alive(&self) -> Result<()> {
        if let Some(borrowed) = &self.0.borrowed {
            borrowed.check(self.device(), &self.0.fault)?;
        }
        self.0.fault.lost()
    }

    fn new(
        adapter: &wgpu::Adapter,
        (device, queue): (wgpu::Device, wgpu::Queue),
        fault: Fault,
        borrowed: Option<Borrowed>,
    ) -> Result<Self> {
        needs::check(&device.limits())?;
        let caps = caps_of(adapter, device.features(), &device.limits());
        let rates = Rates::of(caps.class);
        Ok(Self(Arc::new(Inner {
            id: DeviceId::unique(),
            stopwatch: Stopwatch::new(rates.first_speed),
            memory: Account::default(),
            slice: AtomicU64::new(SLICE.as_micros() as u64),
            checked: AtomicBool::new(unchecked::are_checks_asked_for()),
            #[cfg(not(target_arch = "wasm32"))]
            poller: poller(&device, &fault, borrowed.as_ref()),
            pipelines: Arc::default(),
            device,
            queue,
            rates,
            caps,
            fault,
            borrowed,
        })))
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// The same device, believed to have `caps`: how tests meet small limits and other adapter classes.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_caps(&self, caps: Caps) -> Self {
        self.with(Rates::of(caps.class), caps, Arc::default())
    }

    /// The same device, on which every dispatch is divided as finely as it can be: how tests find out whether portions
    /// come to the same as the whole.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_finest_portions(&self) -> Self {
        self.with(self.0.rates.finest(), self.caps().clone(), self.0.pipelines.clone())
    }

    /// The same device, whose kernels multiply in these numbers: for a host's device after [`Gpu::from_wgpu`].
    pub fn multiplying(&self, arithmetic: Arithmetic) -> Self {
        if arithmetic == self.caps().arithmetic {
            return self.clone();
        }
        let caps = Caps { arithmetic, ..self.caps().clone() };
        self.with(self.0.rates, caps, self.0.pipelines.clone())
    }

    /// The same device, whose kernels take these variants.
    pub(crate) fn choosing(&self, choices: Choices) -> Self {
        let caps = Caps { choices: Arc::new(choices), ..self.caps().clone() };
        self.with(self.0.rates, caps, self.0.pipelines.clone())
    }

    /// The same device with a watch on every index of every kernel, and dispatches divided as finely as they can be: see
    /// `watch.rs`. Asked twice it is one, which compiles nothing again.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn watched(&self) -> Self {
        let pipelines = self.0.pipelines.watched(|| Watch::new(self.device()));
        self.with(self.0.rates.finest(), self.caps().clone(), pipelines)
    }

    fn with(&self, rates: Rates, caps: Caps, pipelines: Arc<Pipelines>) -> Self {
        let Inner { id, device, queue, fault, borrowed, memory, slice, .. } = &*self.0;
        Self(Arc::new(Inner {
            id: *id,
            device: device.clone(),
            queue: queue.clone(),
            stopwatch: Stopwatch::new(rates.first_speed),
            rates,
            caps,
            pipelines,
            fault: fault.clone(),
            borrowed: borrowed.clone(),
            memory: memory.clone(),
            slice: AtomicU64::new(slice.load(Ordering::Relaxed)),
            checked: AtomicBool::new(self.checks()),
            #[cfg(not(target_arch = "wasm32"))]
            poller: self.0.poller.clone(),
        }))
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

    pub(super) fn fault(&self) -> &Fault {
        &self.0.fault
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn poller(&self) -> &Poller {
        &self.0.poller
    }

    pub(super) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    pub(super) fn stopwatch(&self) -> &Stopwatch {
        &self.0.stopwatch
    }

    pub(super) fn account(&self) -> &Account {
        &self.0.memory
    }

    /// How much memory is in use, was at most, and may be.
    pub fn memory(&self) -> MemoryUse {
        self.0.memory.used()
    }

    /// Bounds the memory that is allocated from here on: more is [`Error::MemoryLimit`].
    pub fn set_max_memory(&self, bytes: Option<u64>) {
        self.0.memory.limit(bytes);
    }

    /// How long what is submitted here takes at most, about: 100 ms, unless a host has said otherwise.
    pub fn slice(&self) -> Duration {
        Duration::from_micros(self.0.slice.load(Ordering::Relaxed))
    }

    /// Bounds how long each submission takes that is made here and not by the host: text encoders, decoding,
    /// [`Step::run`](crate::Step::run). A host whose frames wait for them gives what it can spare in a frame.
    pub fn set_slice(&self, budget: Duration) {
        self.0.slice.store(budget.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether all kernels that are compiled from here on have bounds checks: for finding out whether a fault is a
    /// kernel's. Without it, natively, the heavy ones of this crate run without, since every index of theirs is known to
    /// be inside; those of other crates do where they ask for it
    /// ([`Graph::push_unchecked`](crate::low_level::graph::Graph::push_unchecked)). The environment variable
    /// `FOVEATE_CHECKED=1` asks for checks on every device. Browsers always check.
    pub fn set_checked(&self, checked: bool) {
        self.0.checked.store(checked || unchecked::are_checks_asked_for(), Ordering::Relaxed);
    }

    pub(super) fn checks(&self) -> bool {
        self.0.checked.load(Ordering::Relaxed)
    }

    /// The first error that no scope caught, if there was one; the loss of the device every time it is asked.
    pub fn check(&self) -> Result<()> {
        self.alive()?;
        self.0.fault.check()
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
