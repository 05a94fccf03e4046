//! Times slices on the device, and hands what it finds to the [`Pace`].
//!
//! Where a GPU has timestamp queries they say how long the slice itself took, whatever else a host does in its frame.
//! Elsewhere the clock does, from when the slice was encoded, or the one before was done, to when wgpu says that its
//! submission is done: work of the host in the same submission then counts as the slice's. wgpu says so when a device is
//! polled, which a host may do once a frame: as long as a slice is timed by the clock, the poller polls (`poller.rs`).
//!
//! A software adapter's timestamps are not believed. Lavapipe writes the one after a pass when the last dispatch has
//! begun, so that a slice of one dispatch seems to take nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Gpu;
use super::cost::Kernel;
use super::engine::encode_timestamps;
use super::pace::Pace;
use super::wait::Attended;
use crate::graph::AdapterClass;
use crate::shared::{Instant, lock};

/// Shared by all who encode for one device.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch {
    found: Arc<Mutex<Found>>,
    queries: Arc<Mutex<Pool>>,
}

#[derive(Debug)]
struct Found {
    pace: Pace,
    /// When the last slice that the clock timed was done.
    done: Option<Instant>,
}

/// Queries that no slice uses at the moment.
#[derive(Debug, Default)]
struct Pool {
    free: Vec<Queries>,
    /// Shared by all that there are: counts them, those among them that never come back until they are dropped.
    all: Arc<()>,
}

/// Two timestamps, and the way that they take back.
#[derive(Debug)]
struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
    _counted: Arc<()>,
}

/// Slices in flight that the device times. Further ones are not timed: a host may never submit what it encodes.
const MOST: usize = 16;
/// Bytes of two timestamps.
const BYTES: u64 = 16;

/// The timing of one slice.
#[derive(Debug)]
pub(super) struct Lap {
    watch: Stopwatch,
    by_kernel: Vec<(Kernel, f64)>,
    budget: Duration,
    by: Clock,
}

#[derive(Debug)]
enum Clock {
    /// Nothing to time, or nothing to time it with.
    None,
    /// The device's own, and the length of a tick in nanoseconds.
    Device(Queries, f32),
    /// This computer's.
    Host(Attended),
}

impl Stopwatch {
    pub fn new(first_speed: f64) -> Self {
        let found = Found { pace: Pace::new(first_speed), done: None };
        Self { found: Arc::new(Mutex::new(found)), queries: Arc::default() }
    }

    /// What the laps so far have shown.
    pub fn pace(&self) -> Pace {
        lock(&self.found).pace.clone()
    }

    /// Begins to time a slice of `budget`, before it is encoded; `by_kernel`: what it is likely to cost.
    pub fn start(&self, gpu: &Gpu, by_kernel: Vec<(Kernel, f64)>, budget: Duration) -> Lap {
        let by_device = gpu.caps().timestamps && gpu.caps().class == AdapterClass::Hardware;
        let by = match (!by_kernel.is_empty(), by_device) {
            (false, _) => Clock::None,
            (true, false) => Clock::Host(gpu.attend()),
            (true, true) => match lock(&self.queries).take(gpu.device()) {
                Some(queries) => Clock::Device(queries, gpu.queue().get_timestamp_period()),
                None => Clock::None,
            },
        };
        Lap { watch: self.clone(), by_kernel, budget, by }
    }
}

impl Lap {
    /// The timestamps to write: before the slice and after it.
    pub fn queries(&self) -> Option<&wgpu::QuerySet> {
        match &self.by {
            Clock::Device(queries, _) => Some(&queries.set),
            Clock::None | Clock::Host(_) => None,
        }
    }

    /// Ends the timing, once the slice is encoded. What it found is heard when the submission is done.
    pub fn stop(self, encoder: &mut wgpu::CommandEncoder) {
        let Self { watch: Stopwatch { found, queries: pool }, by_kernel, budget, by } = self;
        match by {
            Clock::None => {}
            Clock::Device(queries, nanoseconds) => {
                let Queries { set, resolved, readback, .. } = &queries;
                encode_timestamps(set, resolved, readback, encoder);
                let readback = readback.clone();
                encoder.map_buffer_on_submit(&readback, wgpu::MapMode::Read, .., move |mapped| {
                    // Where it fails, the device is gone.
                    if let Some(ticks) = mapped.ok().and_then(|()| queries.ticks()) {
                        let took = Duration::from_secs_f64(1e-9 * ticks as f64 * f64::from(nanoseconds));
                        lock(&found).pace.measured(&by_kernel, budget, took);
                        lock(&pool).free.push(queries);
                    }
                });
            }
            Clock::Host(attended) => {
                let began = Instant::now();
                encoder.on_submitted_work_done(move || {
                    let _until_now = attended;
                    let (now, mut found) = (Instant::now(), lock(&found));
                    let began = found.done.map_or(began, |done| began.max(done));
                    found.done = Some(now);
                    found.pace.measured(&by_kernel, budget, now.saturating_duration_since(began));
                });
            }
        }
    }
}

impl Pool {
    fn take(&mut self, device: &wgpu::Device) -> Option<Queries> {
        if self.free.is_empty() && Arc::strong_count(&self.all) <= MOST {
            return Some(Queries::new(device, self.all.clone()));
        }
        self.free.pop()
    }
}

impl Queries {
    fn new(device: &wgpu::Device, counted: Arc<()>) -> Self {
        let label = Some("stopwatch");
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor { label, size: BYTES, usage, mapped_at_creation: false })
        };
        Self {
            set: device.create_query_set(&wgpu::QuerySetDescriptor { label, ty: wgpu::QueryType::Timestamp, count: 2 }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readback: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            _counted: counted,
        }
    }

    /// What lies between both timestamps.
    fn ticks(&self) -> Option<u64> {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&self.readback.get_mapped_range(..).ok()?);
        self.readback.unmap();
        ticks[1].checked_sub(ticks[0])
    }
}
