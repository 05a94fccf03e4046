//! Learned routing: each layer computes on the k tokens its router scores highest, the others go past it. DiffCR
//! (arXiv 2412.16822) learns k per layer and timestep; with one k throughout it is MoD.
//!
//! A block so costs two small ops more, a score and a selection. Its rows are then addressed through the selection: no
//! pass gathers, none scatters.

use std::sync::Arc;

use super::{BlockInput, BlockRows, Compaction, DiffcrConfig, KeptRatios, Policy, Scale, StepAt, Variant, kept_tokens};
use crate::graph::{Graph, ValueId, Weight};
use crate::kernels::{self, Affine, ReadRows, WriteRows};
use crate::{Error, Result};

/// What a checkpoint brings for routing.
#[derive(Clone, Debug)]
pub struct Routers {
    /// How it was trained.
    pub config: DiffcrConfig,
    /// `transformer_blocks.{i}.router.weight [1, C]`, one per layer.
    pub weights: Vec<Weight>,
}

/// Routing at these kept ratios.
#[derive(Clone, Debug)]
pub struct Routed {
    /// "diffcr" or "mod".
    pub name: &'static str,
    /// The checkpoint's routers.
    pub routers: Arc<Routers>,
    /// The ratios, snapped where they should be.
    pub ratios: KeptRatios,
    /// Whether scores and places of every layer stay in the store, under [`scores_name`] and [`place_name`].
    pub traced: bool,
}

/// Stored by a traced run: a layer's scores `[B, N]` of the last step.
pub fn scores_name(layer: usize) -> String {
    format!("router.scores.{layer}")
}

/// Stored by a traced run: the compact row of each token `[B, N]`, or [`kernels::NOTHING`], of the last step.
pub fn place_name(layer: usize) -> String {
    format!("router.place.{layer}")
}

impl Policy for Routed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kept_ratios(&self) -> Option<&KeptRatios> {
        Some(&self.ratios)
    }

    /// The tokens that each layer keeps.
    fn variant(&self, step: StepAt) -> Variant {
        self.ratios.at(step.timestep).iter().map(|&ratio| kept_tokens(ratio, step.tokens)).collect()
    }

    fn saved(&self, variant: &Variant, tokens: usize) -> Option<f64> {
        let kept = variant.iter().sum::<usize>() as f64 / (variant.len() * tokens).max(1) as f64;
        Some(1.0 - kept)
    }

    fn block(&self, graph: &mut Graph, variant: &Variant, at: BlockInput) -> Result<BlockRows> {
        let (Some(&kept), Some(weight)) = (variant.get(at.layer), self.routers.weights.get(at.layer)) else {
            return Err(Error::shape(self.name, format!("there is no router for layer {}", at.layer)));
        };
        let weight = weight.in_graph(graph);
        let routing = kernels::router(graph, at.stream, weight)?;
        // Where all tokens are kept there is nothing to select, but scores still scale: a layer that was trained with
        // a router is not the dense layer.
        let (read, index) = match kept < at.grid.iter().product() || self.traced {
            false => (ReadRows::All, None),
            true => {
                let selection = kernels::select(graph, routing.logits, kept)?;
                if self.traced {
                    graph.keep(routing.scores, scores_name(at.layer));
                    graph.keep(selection.place, place_name(at.layer));
                }
                (selection.read(), Some(selection.place))
            }
        };
        let scaled = |weight: ValueId| match index {
            None => WriteRows::Scaled { weight },
            Some(index) => WriteRows::Map { index, weight: Some(weight) },
        };
        let write = index.map_or(WriteRows::All, |index| WriteRows::Map { index, weight: None });
        let correction = match self.routers.config.scale {
            Scale::Mlp => None,
            Scale::Block => {
                let less_one = Affine { shift: -1.0, ..Affine::default() };
                Some(scaled(kernels::affine(graph, routing.scores, less_one)?))
            }
        };
        let plain = Compaction { read, write, ..Compaction::default() };
        let mlp = Compaction { write: scaled(routing.scores), ..plain };
        Ok(BlockRows { attention: plain, cross: plain, mlp, correction, ..BlockRows::default() })
    }
}
