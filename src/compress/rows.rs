//! What a policy makes of one block: the rows of each sublayer, as data that the blocks go through.
//!
//! A sublayer reads rows of the stream through `read`, normalises them, averages those that `merge` groups, computes, and
//! adds its gated branch to the stream through `write`. What it `remembers` of other steps' branches comes last.

use super::{CARRIED, Keys};
use crate::Result;
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Affine, Gate, Groups, ReadRows, WriteRows};

/// The rows of one block's sublayers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockRows {
    /// Self-attention.
    pub attention: Compaction,
    /// Cross-attention. Its queries read one row each: a weighted map is refused there.
    pub cross: Compaction,
    /// Feed-forward.
    pub mlp: Compaction,
    /// Where a policy weighs the whole block by s: at the block's end the branches of both attentions, which by then
    /// were added in full, are added once more through this, whose weight is s − 1. The stream's old rows, which were
    /// updated in place, are thus never needed again.
    pub correction: Option<WriteRows>,
    /// What self-attention attends to.
    pub keys: Keys,
    /// Whether it leaves behind how much attention each token receives, under
    /// [`attentiveness_name`](super::attentiveness_name).
    pub attentiveness: bool,
}

/// One sublayer's rows: read through one map, written through the other, dense in between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compaction {
    /// Which rows of the stream are normalised.
    pub read: ReadRows,
    /// Which of the normalised rows share a compact row, their mean.
    pub merge: Option<Groups>,
    /// Which compact row each row of the stream receives.
    pub write: WriteRows,
    /// What of the branch goes to later steps, or comes from earlier ones.
    pub remembered: Remembered,
}

/// A branch beyond its step.
#[derive(Clone, Copy, Debug, Default)]
pub enum Remembered {
    /// Nothing.
    #[default]
    Nothing,
    /// The gated branch `[B, N, C]` is kept for later steps.
    Kept(Branch),
    /// Each row also receives `share [B, N]` of what an earlier step kept.
    Recalled {
        /// Whose.
        branch: Branch,
        /// How much of it.
        share: ValueId,
    },
}

/// Names the branch of one sublayer of one block.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    /// The block.
    pub layer: usize,
    /// The sublayer.
    pub sublayer: Sublayer,
}

/// The sublayers whose branches are remembered.
#[derive(Clone, Copy, Debug)]
pub enum Sublayer {
    /// Self-attention.
    Attention,
    /// Feed-forward.
    Mlp,
}

impl Compaction {
    /// Whether the sublayer computes on other rows than the stream's, row for row.
    pub fn maps(&self) -> bool {
        self.read != ReadRows::All || self.merge.is_some()
    }

    /// What the sublayer computes on, of the rows it read and normalised.
    pub fn enter(&self, graph: &mut Graph, normed: ValueId) -> Result<ValueId> {
        self.merge.map_or(Ok(normed), |groups| kernels::merge(graph, normed, groups))
    }

    /// Adds the sublayer's gated `branch [B, k, C]` to the stream `x [B, N, C]`.
    pub fn leave(&self, graph: &mut Graph, x: ValueId, branch: ValueId, gate: Option<Gate>) -> Result<()> {
        match self.remembered {
            Remembered::Nothing => kernels::residual(graph, x, branch, gate, self.write),
            Remembered::Kept(name) => {
                let zero = Affine { scale: 0.0, ..Affine::default() };
                let gated = kernels::affine(graph, x, zero)?;
                kernels::residual(graph, gated, branch, gate, self.write)?;
                graph.keep(gated, name.stored());
                kernels::residual(graph, x, gated, None, WriteRows::All)
            }
            Remembered::Recalled { branch: name, share } => {
                kernels::residual(graph, x, branch, gate, self.write)?;
                let shape = graph.shape(x).to_vec();
                let earlier = graph.stored(name.stored(), &shape, Element::F32);
                kernels::residual(graph, x, earlier, None, WriteRows::Scaled { weight: share })
            }
        }
    }
}

impl Branch {
    /// Where it is stored.
    fn stored(self) -> String {
        let sublayer = match self.sublayer {
            Sublayer::Attention => "attention",
            Sublayer::Mlp => "mlp",
        };
        format!("{CARRIED}{sublayer}.{}", self.layer)
    }
}
