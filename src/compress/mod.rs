//! Policies: which rows of the residual stream each sublayer computes on. Models call one and name no method.

mod bipartite;
mod choice;
mod dense;
mod diffcr;
mod kept_ratio;
mod kv;
mod parameters;
mod routed;
mod rows;
mod sdtm;
mod step_cache;
mod tome;

use std::fmt::Debug;

pub use choice::{Choice, Compress};
pub use dense::Dense;
pub use diffcr::{DiffcrConfig, Scale};
pub use kept_ratio::{KeptRatios, kept_tokens};
pub use kv::{Keys, Kv, Sampling};
pub use parameters::Parameters;
pub use routed::{Routed, Routers, place_name, scores_name};
pub use rows::{BlockRows, Branch, Compaction, Remembered, Sublayer};
pub use sdtm::Sdtm;
pub use step_cache::{Cached, Span, StepCache};
pub use tome::Tome;

use crate::graph::{Graph, ValueId};
use crate::kernels::ReadRows;
use crate::{Error, Result};

/// Stored values of this prefix are what a policy hands from step to step. They belong to the run: zeroed when it
/// starts, part of [`crate::Run::state`].
pub const CARRIED: &str = "carried.";

/// Stored where a policy asks for it: how much attention each token receives in a layer `[B, N]`, 1 on average.
pub fn attentiveness_name(layer: usize) -> String {
    format!("{CARRIED}attentiveness.{layer}")
}

/// Stored by a traced run: the token whose row each token shared `[B, N]` in a layer of the last step, itself where it had its own.
pub fn destination_name(layer: usize) -> String {
    format!("{DESTINATION}{layer}")
}

/// The layer whose [`destination_name`] this is.
pub fn destination_layer(name: &str) -> Option<usize> {
    name.strip_prefix(DESTINATION)?.parse().ok()
}

const DESTINATION: &str = "merge.destination.";

/// Chooses, block by block, the rows that the sublayers read and write.
pub trait Policy: Debug {
    /// As `--compress` names it.
    fn name(&self) -> &'static str;

    /// The name, and what else tells it from others.
    fn label(&self) -> String {
        self.name().to_owned()
    }

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

    /// What should be known of a run whose steps are these, though it is no error.
    fn warning(&self, _variants: &[Variant], _tokens: usize) -> Option<String> {
        None
    }

    /// Whether it decides on the tokens as the block's self-attention sees them, normalised and modulated, and so asks for
    /// [`BlockInput::modulated`].
    fn sees_modulated(&self, _variant: &Variant) -> bool {
        false
    }

    /// The rows of one block. May add ops of its own (scores, selections) before the block's.
    fn block(&self, graph: &mut Graph, variant: &Variant, at: BlockInput) -> Result<BlockRows>;

    /// Which of the model's blocks this step takes from an earlier one, or hands to later ones.
    fn span(&self, _variant: &Variant, _layers: usize) -> Result<Span> {
        Ok(Span::Compute)
    }
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
    /// How many there are.
    pub layers: usize,
    /// The residual stream `[B, N, C]` as it enters the block.
    pub stream: ValueId,
    /// The same normalised and modulated, of a policy that [sees it](Policy::sees_modulated).
    pub modulated: Option<ValueId>,
    /// The token grid, rows × columns; their product is N.
    pub grid: [usize; 2],
    /// The step's row of the schedule (see [`crate::kernels::step_row`]).
    pub step: ValueId,
}

impl StepPolicy<'_> {
    /// Runs the model's blocks over the stream `x`, all of them or those that this step does not take from an earlier one.
    pub fn blocks(
        &self,
        graph: &mut Graph,
        x: ValueId,
        layers: usize,
        mut block: impl FnMut(&mut Graph, usize) -> Result<()>,
    ) -> Result<()> {
        let span = self.policy.span(self.variant, layers)?;
        for layer in 0..layers {
            if span.begins(graph, x, layer)? {
                block(graph, layer)?;
            }
            span.ends(graph, x, layer)?;
        }
        Ok(())
    }

    /// The rows of the block that begins at `at`, and what its self-attention reads. `norm1` normalises and modulates
    /// the rows of the stream that it is told.
    pub fn enter(
        &self,
        graph: &mut Graph,
        mut at: BlockInput,
        norm1: impl Fn(&mut Graph, ReadRows) -> Result<ValueId>,
    ) -> Result<(BlockRows, ValueId)> {
        let attention = format!("block {} attention", at.layer);
        if self.policy.sees_modulated(self.variant) {
            graph.group(attention.clone());
            at.modulated = Some(norm1(graph, ReadRows::All)?);
        }
        graph.overhead(format!("block {} policy", at.layer));
        let rows = self.policy.block(graph, self.variant, at)?;
        if rows.keys != Keys::All && rows.attention.maps() {
            let (layer, policy) = (at.layer, self.policy.name());
            let clash = "pools keys over the token grid, which takes all tokens, and maps the rows of attention";
            return Err(Error::Usage(format!("layer {layer}: the policy {policy} {clash}")));
        }
        if rows.cross.merge.is_some() || (at.modulated.is_some() && rows.attention.read != ReadRows::All) {
            let (layer, policy) = (at.layer, self.policy.name());
            let clash = "merges rows of cross-attention, or reads rows of tokens that it saw normalised";
            return Err(Error::shape("policy", format!("layer {layer}: the policy {policy} {clash}")));
        }
        graph.group(attention);
        let read = match at.modulated {
            Some(all) => all,
            None => norm1(graph, rows.attention.read)?,
        };
        Ok((rows, rows.attention.enter(graph, read)?))
    }
}
