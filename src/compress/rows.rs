//! What a policy decides about one block: the rows of each sublayer, as data.
//!
//! A sublayer reads rows of the stream through `read`, averages those that `merge` groups, computes, and adds its gated
//! branch to the stream through `write`. [`Block`](super::Block) carries this out; models do not look inside.

use super::CARRIED;
use crate::Result;
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Affine, Gate, Groups, Pooling, ReadRows, WriteRows};

/// The sublayers of a block whose rows a policy can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sublayer {
    /// Attention among the picture's tokens, in joint blocks also to the text's.
    Attention,
    /// Attention of the picture's tokens to the text.
    Cross,
    /// Feed-forward.
    Mlp,
}

/// The rows of one block's sublayers.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockRows {
    /// Rows of self-attention.
    pub attention: Compaction,
    /// Rows of cross-attention. Merging is refused there.
    pub cross: Compaction,
    /// Rows of the feed-forward.
    pub mlp: Compaction,
    /// For a policy that scales the whole block by s: at the end of the block the branches of both attentions are added
    /// once more through this map, whose weights are s − 1. They were first added in full, so the stream's rows from
    /// before the block, which were overwritten, are not needed.
    pub correction: Option<WriteRows>,
    /// Pools the keys and values of self-attention over squares of the token grid.
    pub pooling: Option<Pooling>,
    /// What becomes of the keys and values of self-attention, where they outlive the step.
    pub context: Option<Context>,
    /// Whether self-attention stores how much attention each token receives, under
    /// [`attentiveness_name`](super::attentiveness_name).
    pub attentiveness: bool,
}

/// The rows of one sublayer: read through one map, written through another, dense in between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compaction {
    /// Which rows of the stream are read.
    pub read: ReadRows,
    /// Which of the rows that were read share a compact row, as their mean.
    pub merge: Option<Groups>,
    /// Which compact row each row of the stream receives.
    pub write: WriteRows,
    /// What of the branch is stored for later steps, or comes from earlier ones.
    pub remembered: Remembered,
}

/// Keys and values of self-attention that outlive their step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Those of all tokens are kept for later steps. No row may be left out.
    Kept,
    /// The tokens that the step computes attend to all: to each other as they are now, and to the rest as it was kept.
    Recalled,
}

/// A branch that outlives its step.
#[derive(Clone, Copy, Debug, Default)]
pub enum Remembered {
    /// Nothing.
    #[default]
    Nothing,
    /// The gated branch `[B, N, C]` is stored for later steps.
    Stored,
    /// Each row also receives `share [B, N]` of what an earlier step stored.
    Recalled {
        /// How much of it, row by row.
        share: ValueId,
    },
}

impl BlockRows {
    /// The rows of one sublayer.
    pub fn of(&self, sublayer: Sublayer) -> Compaction {
        match sublayer {
            Sublayer::Attention => self.attention,
            Sublayer::Cross => self.cross,
            Sublayer::Mlp => self.mlp,
        }
    }
}

impl Compaction {
    /// Whether the sublayer computes on anything but all rows, one by one.
    pub fn maps(&self) -> bool {
        self.read != ReadRows::All || self.merge.is_some()
    }

    /// The compact rows, of the rows that were read.
    pub(super) fn enter(&self, graph: &mut Graph, read: ValueId) -> Result<ValueId> {
        self.merge.map_or(Ok(read), |groups| kernels::merge(graph, read, groups))
    }

    /// Adds the gated `branch [B, k, C]` of `sublayer` of block `layer` to the stream `x [B, N, C]`.
    pub(super) fn leave(
        &self,
        graph: &mut Graph,
        x: ValueId,
        branch: ValueId,
        gate: Option<Gate>,
        (layer, sublayer): (usize, Sublayer),
    ) -> Result<()> {
        match self.remembered {
            Remembered::Nothing => kernels::residual(graph, x, branch, gate, self.write),
            Remembered::Stored => {
                let zero = Affine { scale: 0.0, ..Affine::default() };
                let gated = kernels::affine(graph, x, zero)?;
                kernels::residual(graph, gated, branch, gate, self.write)?;
                graph.store(gated, branch_name(layer, sublayer));
                kernels::residual(graph, x, gated, None, WriteRows::All)
            }
            Remembered::Recalled { share } => {
                kernels::residual(graph, x, branch, gate, self.write)?;
                let shape = graph.shape(x).to_vec();
                let earlier = graph.stored(branch_name(layer, sublayer), &shape, Element::F32);
                kernels::residual(graph, x, earlier, None, WriteRows::Scaled { weight: share })
            }
        }
    }
}

/// Where a sublayer's branch is stored between steps.
fn branch_name(layer: usize, sublayer: Sublayer) -> String {
    let sublayer = match sublayer {
        Sublayer::Attention => "attention",
        Sublayer::Cross => "cross",
        Sublayer::Mlp => "mlp",
    };
    format!("{CARRIED}{sublayer}.{layer}")
}
