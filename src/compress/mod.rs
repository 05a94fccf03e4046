//! Policies: which rows of the residual stream each sublayer computes on. Models call one and name no method.

mod choice;
mod dense;
mod diffcr;
mod kept_ratio;
mod kv;
mod routed;

use std::fmt::Debug;

pub use choice::{Choice, Compress};
pub use dense::Dense;
pub use diffcr::{DiffcrConfig, Scale};
pub use kept_ratio::{KeptRatios, kept_tokens};
pub use kv::{Keys, Kv, Sampling};
pub use routed::{Routed, Routers, place_name, scores_name};

use crate::graph::{Graph, ValueId};
use crate::kernels::{ReadRows, WriteRows};
use crate::{Error, Result};

/// Chooses, block by block, the rows that the sublayers read and write.
pub trait Policy: Debug {
    /// As `--compress` names it.
    fn name(&self) -> &'static str;

    /// The share of the tokens that each layer keeps, by region of the timesteps; of policies that decide by such a matrix.
    fn kept_ratios(&self) -> Option<&KeptRatios> {
        None
    }

    /// What shapes this step's graph. Steps of equal variant share one plan.
    fn variant(&self, step: StepAt) -> Variant;

    /// The share of a picture's tokens that a step of this variant saves, the mean over all layers; none for a policy that
    /// is not asked to save any.
    fn saved(&self, _variant: &Variant, _tokens: usize) -> Option<f64> {
        None
    }

    /// The rows of one block. May add ops of its own (scores, selections) before the block's.
    fn block(&self, graph: &mut Graph, variant: &Variant, at: BlockInput) -> Result<BlockRows>;
}

impl dyn Policy + '_ {
    /// The variants of steps at these timesteps, each once, and which of them each step is.
    pub fn variants(&self, timesteps: &[f32], tokens: usize) -> (Vec<Variant>, Vec<usize>) {
        let (mut variants, mut variant_of): (Vec<Variant>, Vec<usize>) = (Vec::new(), Vec::new());
        for (index, &timestep) in timesteps.iter().enumerate() {
            let variant = self.variant(StepAt { index, of: timesteps.len(), timestep, tokens });
            variant_of.push(variants.iter().position(|known| *known == variant).unwrap_or(variants.len()));
            if variant_of[index] == variants.len() {
                variants.push(variant);
            }
        }
        (variants, variant_of)
    }
}

/// What distinguishes the graph of one step from another's, known on the CPU before the step starts: for routing, the
/// tokens that each layer keeps. Only the policy that made it can read it.
pub type Variant = Vec<usize>;

/// What a policy may look at when a step begins.
#[derive(Clone, Copy, Debug)]
pub struct StepAt {
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    /// The timestep that the model is told.
    pub timestep: f32,
    /// Tokens of the picture, N.
    pub tokens: usize,
}

/// A policy at one step: what a model sees of it.
#[derive(Clone, Copy, Debug)]
pub struct StepPolicy<'a> {
    /// The policy.
    pub policy: &'a dyn Policy,
    /// What it made of the step.
    pub variant: &'a Variant,
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
    /// Where a policy weighs the whole block by s: at the block's end the branches of both attentions, which by then
    /// were added in full, are added once more through this, whose weight is s − 1. The stream's old rows, which were
    /// updated in place, are thus never needed again.
    pub correction: Option<WriteRows>,
    /// What self-attention attends to.
    pub keys: Keys,
}

/// One sublayer's rows: read through one map, written through the other, dense in between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compaction {
    /// Which rows of the stream the sublayer's compact rows are made of.
    pub read: ReadRows,
    /// Which compact row each row of the stream receives.
    pub write: WriteRows,
}

impl StepPolicy<'_> {
    /// The rows of the block that begins at `at`.
    pub fn block(&self, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        graph.group(format!("block {} policy", at.layer));
        let rows = self.policy.block(graph, self.variant, at)?;
        if rows.keys != Keys::All && rows.attention.read != ReadRows::All {
            let (layer, policy) = (at.layer, self.policy.name());
            let clash = "pools keys over the token grid, which takes all tokens, and maps the rows of attention";
            return Err(Error::Usage(format!("layer {layer}: the policy {policy} {clash}")));
        }
        Ok(rows)
    }
}
