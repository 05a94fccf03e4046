//! Conditioning: per sample, M chunks of C numbers (shifts, scales, gates) that modulate a sublayer.
//!
//! A chunk is a slice of the timestep's embedding (adaLN), plus a row of a learned table where there is one
//! (adaLN-single, whose final layer adds one embedding of C to every row of its table).

use crate::graph::host::{Host, Numbers};
use crate::graph::reference::HostValues;
use crate::graph::{Graph, ValueId};
use crate::{Error, Result};

/// The two values that chunks are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    /// `[1 or B, M·C]`, or `[1 or B, C]` shared by all chunks.
    pub emb: ValueId,
    /// `[M, C]`, added.
    pub table: Option<ValueId>,
}

/// The same on the processor.
#[derive(Debug)]
pub(super) struct ChunkNumbers<'a> {
    emb: Numbers<'a>,
    table: Option<Numbers<'a>>,
    channels: usize,
    samples: usize,
}

impl<'a> ChunkNumbers<'a> {
    /// Reads both values.
    pub fn load(graph: &Graph, host: &Host<'a>, chunks: Chunks, channels: usize) -> Result<Self> {
        let (emb, table) = (host.numbers(chunks.emb)?, host.optional(chunks.table)?);
        Ok(Self { emb, table, channels, samples: graph.get(chunks.emb).matrix().0 })
    }

    /// A chunk's numbers for one sample.
    pub fn of(&self, sample: usize, chunk: usize) -> Vec<f32> {
        let width = self.emb.len() / self.samples;
        let sample = if self.samples == 1 { 0 } else { sample * width };
        let start = if width == self.channels { 0 } else { chunk * self.channels };
        let emb = &self.emb[sample + start..][..self.channels];
        match &self.table {
            None => emb.to_vec(),
            Some(table) => emb.iter().zip(&table[chunk * self.channels..]).map(|(e, t)| e + t).collect(),
        }
    }
}

impl Chunks {
    /// Checks the shapes against a stream `[batch, N, channels]`, and that each of `used` is among the M chunks.
    pub fn check(self, graph: &Graph, op: &str, batch: usize, channels: usize, used: &[usize]) -> Result<()> {
        let [samples, width] = graph.dims(op, self.emb)?;
        let count = match self.table {
            None => width.checked_div(channels).unwrap_or(0),
            Some(table) => graph.dims::<2>(op, table)?[0],
        };
        if let Some(table) = self.table {
            graph.expect(op, table, &[count, channels])?;
        }
        if (samples != 1 && samples != batch) || (width != channels && width != count.saturating_mul(channels)) {
            let found = format!("{} has shape {:?}", graph.get(self.emb).name, [samples, width]);
            let reason = format!("{found}, which is not {count} chunks of {channels} for {batch} samples");
            return Err(Error::shape(op, reason));
        }
        match used.iter().find(|&&chunk| chunk >= count) {
            None => Ok(()),
            Some(chunk) => Err(Error::shape(op, format!("there is no chunk {chunk} among {count}"))),
        }
    }

    /// From one sample of the embedding to the next; 0 where all share one.
    pub fn stride(self, graph: &Graph) -> u32 {
        let (samples, width) = graph.get(self.emb).matrix();
        if samples == 1 { 0 } else { width as u32 }
    }

    /// Where `chunk` begins in a sample of the embedding; 0 where all chunks share one.
    pub fn start(self, graph: &Graph, channels: usize, chunk: usize) -> u32 {
        let (_, width) = graph.get(self.emb).matrix();
        if width == channels { 0 } else { (chunk * channels) as u32 }
    }

    /// A chunk's numbers for one sample.
    pub fn reference(self, graph: &Graph, host: &HostValues, sample: usize, channels: usize, chunk: usize) -> Vec<f32> {
        let first = sample * self.stride(graph) as usize + self.start(graph, channels, chunk) as usize;
        let emb = &host.f32(self.emb)[first..first + channels];
        match self.table {
            None => emb.to_vec(),
            Some(table) => emb.iter().zip(&host.f32(table)[chunk * channels..]).map(|(e, t)| e + t).collect(),
        }
    }
}
