//! GPU time per group of a recording, from timestamps at pass boundaries. Lavapipe writes the one after a pass when its
//! last dispatch has begun: there, that dispatch counts with the group after it.

use super::Gpu;
use crate::device::Buffer;
use crate::{Error, Result};

/// One group's time on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The group's label.
    pub label: String,
    /// Start, microseconds of the device's clock.
    pub start: f64,
    /// Duration, microseconds.
    pub duration: f64,
}

/// Collects the spans of one encoding. Reuse it after [`Profiler::spans`].
#[derive(Debug)]
pub struct Profiler {
    queries: wgpu::QuerySet,
    resolved: Buffer,
    labels: Vec<String>,
    /// Groups that found no free query.
    pub dropped: usize,
}

const CAPACITY: u32 = 4096;

impl Profiler {
    /// Fails where the device was opened without timestamps.
    pub async fn new(gpu: &Gpu) -> Result<Self> {
        if !gpu.caps().timestamps {
            return Err(Error::Usage(format!("{} has no timestamp queries, so it cannot profile", gpu.caps())));
        }
        let queries = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count: CAPACITY,
        });
        let raw = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("profile"),
            size: u64::from(CAPACITY) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Ok(Self { queries, resolved: gpu.own(raw), labels: Vec::new(), dropped: 0 })
    }

    pub(super) fn span(&mut self, label: &str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let first = 2 * self.labels.len() as u32;
        if first + 2 > CAPACITY {
            self.dropped += 1;
            return None;
        }
        self.labels.push(label.to_owned());
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        })
    }

    /// The queries in use, and the buffer that their ticks go to.
    pub(super) fn used(&self) -> Result<(&wgpu::QuerySet, std::ops::Range<u32>, &wgpu::Buffer)> {
        Ok((&self.queries, 0..2 * self.labels.len() as u32, self.resolved.raw()?))
    }

    /// Reads the spans of what was submitted since the last call.
    pub async fn spans(&mut self, gpu: &Gpu) -> Result<Vec<Span>> {
        let labels = std::mem::take(&mut self.labels);
        let bytes = gpu.read(&self.resolved, labels.len() as u64 * 16).await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let micros = f64::from(gpu.queue().get_timestamp_period()) / 1000.0;
        let spans = labels.into_iter().zip(ticks.chunks_exact(2)).map(|(label, t)| Span {
            label,
            start: t[0] as f64 * micros,
            duration: t[1].saturating_sub(t[0]) as f64 * micros,
        });
        Ok(spans.collect())
    }
}
