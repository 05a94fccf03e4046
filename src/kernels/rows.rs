//! Row maps: how a sublayer addresses rows of the residual stream `[B, N, C]` instead of copying them.
//!
//! The stream stays where it is. A sublayer computes on `k ≤ N` compact rows per sample; a [`ReadRows`] says which rows
//! of the stream each compact row is made of, a [`WriteRows`] says which compact row each row of the stream receives.
//! Every compression method is a way of filling these two.

use crate::graph::reference::HostValues;
use crate::graph::{Graph, Indices, ValueId};
use crate::{Error, Result};

/// Which rows a sublayer reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadRows {
    /// Row for row.
    #[default]
    All,
    /// Compact row j of sample b is Σ over w of weight[b, j, w] · x[b, index[b, j, w]].
    Map {
        /// `[B, k, W]` indices into the sample's N rows.
        index: ValueId,
        /// `[B, k, W]`; none: every weight is 1 / W.
        weight: Option<ValueId>,
    },
}

/// Which rows a sublayer's result goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteRows {
    /// Row for row.
    #[default]
    All,
    /// Row for row, row n of sample b times weight[b, n].
    Scaled {
        /// `[B, N]`.
        weight: ValueId,
    },
    /// Row n of sample b receives weight[b, n] · branch[b, index[b, n]]; [`NOTHING`] leaves it as it is.
    Map {
        /// `[B, N]` indices into the sample's k compact rows, or [`NOTHING`].
        index: ValueId,
        /// `[B, N]`; none: every weight is 1.
        weight: Option<ValueId>,
    },
}

/// What every matching of tokens ends in: the token whose row each is computed in.
#[derive(Clone, Copy, Debug)]
pub struct Destinations {
    /// `[B, N]`: the destination of each token, a token of the sample; itself, where it stays alone.
    pub of: ValueId,
    /// `[B, N]` numbers: 1 where the token's row is shared, else 0.
    pub merged: ValueId,
}

/// In a [`WriteRows`] index: this row receives nothing.
pub const NOTHING: u32 = u32::MAX;

impl ReadRows {
    /// Compact rows per sample (k) and sources per row (W), for a stream `[B, N, C]`; checks the map's shape.
    pub fn extent(self, graph: &Graph, op: &str, batch: usize, rows: usize) -> Result<(usize, usize)> {
        let Self::Map { index, weight } = self else { return Ok((rows, 1)) };
        let [b, k, sources] = graph.dims(op, index)?;
        if b != batch || k == 0 || k > rows || sources == 0 {
            let reason = format!("row map {:?} does not fit {batch} samples of {rows} rows", [b, k, sources]);
            return Err(Error::shape(op, reason));
        }
        if let Some(weight) = weight {
            graph.expect(op, weight, &[b, k, sources])?;
        }
        Ok((k, sources))
    }

    /// The indices that it reads, of a stream of so many rows per sample.
    pub(super) fn indices(self, rows: usize) -> Vec<Indices> {
        match self {
            Self::All => Vec::new(),
            Self::Map { index, .. } => vec![Indices::below(index, rows)],
        }
    }

    /// The rows it reads of `x [B, N, C]`, on the CPU.
    pub(super) fn reference(self, graph: &Graph, host: &HostValues, x: ValueId) -> Vec<f32> {
        let Self::Map { index, weight } = self else { return host.f32(x).to_vec() };
        let (shape, channels) = (graph.shape(index), graph.get(x).matrix().1);
        let (sources, per_sample) = (shape[2], shape[1] * shape[2]);
        let stream = host.f32(x).len() / shape[0];
        let mut rows = Vec::new();
        for first in (0..graph.get(index).len()).step_by(sources) {
            rows.extend((0..channels).map(|c| {
                let terms = (first..first + sources).map(|at| {
                    let weight = weight.map_or(1.0 / sources as f32, |weight| host.f32(weight)[at]);
                    weight * host.f32(x)[at / per_sample * stream + host.u32(index)[at] as usize * channels + c]
                });
                terms.sum::<f32>()
            }));
        }
        rows
    }
}

impl WriteRows {
    /// Checks the map's shape against a stream `[B, N, C]`.
    pub fn check(self, graph: &Graph, op: &str, batch: usize, rows: usize) -> Result<()> {
        [self.index(), self.weight()].into_iter().flatten().try_for_each(|id| graph.expect(op, id, &[batch, rows]))
    }

    /// `[B, N]`: the compact row of each row, where they are mapped.
    pub fn index(self) -> Option<ValueId> {
        match self {
            Self::All | Self::Scaled { .. } => None,
            Self::Map { index, .. } => Some(index),
        }
    }

    /// `[B, N]`: the factor of each row, where there is one.
    pub fn weight(self) -> Option<ValueId> {
        match self {
            Self::All => None,
            Self::Scaled { weight } => Some(weight),
            Self::Map { weight, .. } => weight,
        }
    }
}

/// Samples, rows and channels of a stream `[B, N, C]`, or `[N, C]` as one sample.
pub(super) fn stream(graph: &Graph, op: &str, x: ValueId) -> Result<[usize; 3]> {
    match *graph.shape(x) {
        [rows, channels] => Ok([1, rows, channels]),
        _ => graph.dims(op, x),
    }
}
