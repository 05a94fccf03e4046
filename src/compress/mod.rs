//! Policies: which rows of the residual stream each sublayer computes on. Models call one and name no method.

mod dense;

use std::fmt::Debug;

pub use dense::Dense;

use crate::Result;
use crate::graph::{Graph, ValueId};
use crate::kernels::{ReadRows, WriteRows};

/// Chooses, block by block, the rows that the sublayers read and write.
pub trait Policy: Debug {
    /// As `--compress` names it.
    fn name(&self) -> &'static str;

    /// The rows of one block. May add ops of its own (scores, selections) before the block's.
    fn block(&self, graph: &mut Graph, at: BlockInput) -> Result<BlockRows>;
}

/// What a policy may look at when a block begins.
#[derive(Clone, Copy, Debug)]
pub struct BlockInput {
    /// The block's number, from 0.
    pub layer: usize,
    /// The residual stream `[B, N, C]` as it enters the block.
    pub stream: ValueId,
    /// The token grid, rows × columns; their product is N.
    pub grid: [usize; 2],
}

/// The rows of one block's sublayers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockRows {
    /// Self-attention.
    pub attention: Compaction,
    /// Cross-attention. Its queries read one row each: a weighted map is refused there.
    pub cross: Compaction,
    /// Feed-forward.
    pub mlp: Compaction,
}

/// One sublayer's rows: read through one map, written through the other, dense in between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compaction {
    /// Which rows of the stream the sublayer's compact rows are made of.
    pub read: ReadRows,
    /// Which compact row each row of the stream receives.
    pub write: WriteRows,
}
