//! Learned routing: each layer computes on the k tokens its router scores highest, the others go past it. DiffCR
//! (arXiv 2412.16822) learns k per layer and timestep; with one k throughout it is MoD.
//!
//! A block so costs two small ops more, a score and a selection. Its rows are then addressed through the selection: no
//! pass gathers, none scatters.

use std::sync::Arc;

use super::trace;
use super::{
    Among, AnyPolicy, BlockInput, BlockRows, Choice, Compaction, DiffcrConfig, KeptRatios, Policy, PolicyKind, Scale,
    StepAt, Traces, Trained, kept_tokens,
};
use crate::graph::{Graph, ValueId, Weight};
use crate::kernels::{self, Affine, ReadRows, WriteRows};
use crate::loading::{Fields, Scope};
use crate::{Error, Refusal, Result};

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
    /// Whether every layer's scores and kept tokens stay readable after a step.
    pub traced: bool,
}

impl Policy for Routed {
    /// The tokens that each layer keeps.
    type Step = Vec<usize>;

    fn name(&self) -> &str {
        self.name
    }

    fn kept_ratios(&self) -> Option<&KeptRatios> {
        Some(&self.ratios)
    }

    fn step(&self, at: StepAt) -> Vec<usize> {
        self.ratios.at(at.timestep).iter().map(|&ratio| kept_tokens(ratio, at.tokens)).collect()
    }

    fn saved(&self, kept: &Vec<usize>, tokens: usize, _layers: usize) -> Option<f64> {
        let kept = kept.iter().sum::<usize>() as f64 / (kept.len() * tokens).max(1) as f64;
        Some(1.0 - kept)
    }

    fn block(&self, kept: &Vec<usize>, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        self.rows(graph, at, self.kept(kept, at.layer)?, None)
    }

    fn chooses_among(&self) -> bool {
        true
    }

    fn block_among(&self, kept: &Vec<usize>, graph: &mut Graph, at: BlockInput, among: Among) -> Result<BlockRows> {
        let (kept, tokens) = (self.kept(kept, at.layer)?, at.grid.tokens());
        match among {
            Among::All => self.rows(graph, at, tokens, None),
            // The same share of fewer tokens.
            Among::Marked(marked) => {
                let kept = (kept * marked.count + tokens / 2) / tokens.max(1);
                self.rows(graph, at, kept.max(1), Some(marked.bias))
            }
        }
    }
}

impl Routed {
    /// The tokens that a layer keeps, of those of all layers.
    fn kept(&self, kept: &[usize], layer: usize) -> Result<usize> {
        kept.get(layer).copied().ok_or_else(|| Error::shape(self.name, format!("there is no router for layer {layer}")))
    }

    /// The rows of a block that keeps so many tokens. `bias [B, N]` is added to the logits that they are chosen by.
    fn rows(&self, graph: &mut Graph, at: BlockInput, kept: usize, bias: Option<ValueId>) -> Result<BlockRows> {
        let Some(weight) = self.routers.weights.get(at.layer) else {
            return Err(Error::shape(self.name, format!("there is no router for layer {}", at.layer)));
        };
        let weight = weight.in_graph(graph);
        let routing = kernels::router(graph, at.stream, weight)?;
        let logits = match bias {
            Some(bias) => kernels::add(graph, routing.logits, bias)?,
            None => routing.logits,
        };
        // Where all tokens are kept there is nothing to select, but scores still scale: a layer that was trained with
        // a router is not the dense layer.
        let (read, index) = match kept < at.grid.tokens() || self.traced {
            false => (ReadRows::All, None),
            true => {
                let selection = kernels::select(graph, logits, kept)?;
                if self.traced {
                    graph.store(routing.scores, trace::scores_name(at.layer));
                    graph.store(selection.place, trace::place_name(at.layer));
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

/// Learned routing at the ratios that the checkpoint learned.
#[derive(Clone, Copy, Debug)]
pub struct Diffcr;

/// Learned routing at one ratio throughout.
#[derive(Clone, Copy, Debug)]
pub struct Mod;

impl PolicyKind for Diffcr {
    fn name(&self) -> &str {
        "diffcr"
    }

    fn summary(&self) -> &str {
        "learned routing: each layer computes the tokens that its router scores highest; how many was learned"
    }

    fn config(&self) -> Option<&str> {
        Some("diffcr")
    }

    fn read(
        &self,
        config: Option<Fields>,
        scope: &mut Scope<'_>,
        layers: usize,
        width: usize,
        trained: &mut Trained,
    ) -> Result<()> {
        let name = |layer: usize| format!("transformer_blocks.{layer}.router.weight");
        let Some(config) = config else {
            // Routers are of no use where the config has no ratios for them.
            trained.insert(Lacking(!scope.has(&name(0))));
            scope.ignore(is_router);
            return Ok(());
        };
        let config = DiffcrConfig::read(config, layers)?;
        let weights = (0..layers).map(|layer| scope.vector(&name(layer), &[1, width])).collect::<Result<_>>()?;
        trained.insert(Arc::new(Routers { config, weights }));
        Ok(())
    }

    fn made_for(&self, trained: &Trained) -> bool {
        Routers::of(trained).is_some()
    }

    fn lacks(&self, trained: &Trained) -> Option<String> {
        Routers::lacking(trained)
    }

    fn traces(&self) -> Traces {
        Traces::Kept
    }

    fn policy(&self, choice: Choice<'_>) -> Result<AnyPolicy> {
        routed("diffcr", &choice, |config| match choice.ratio {
            None => Ok(config.kept.snapped(&config.bins)),
            // What the bins allow is inside the range that was trained; a hair beyond is rounding.
            Some(ratio) if ratio > config.most_saved() + 1e-9 => {
                let most = (1e4 * config.most_saved()).round() / 1e4;
                Err(Refusal::BadRatio { ratio, reason: format!("this model's bins save {most} at most") }.into())
            }
            Some(ratio) => Ok(config.kept.rescaled(1.0 - share(ratio)?, &config.bins)),
        })
    }
}

impl PolicyKind for Mod {
    fn name(&self) -> &str {
        "mod"
    }

    fn summary(&self) -> &str {
        "learned routing with one ratio for all layers and steps"
    }

    fn lacks(&self, trained: &Trained) -> Option<String> {
        Routers::lacking(trained)
    }

    fn traces(&self) -> Traces {
        Traces::Kept
    }

    fn policy(&self, choice: Choice<'_>) -> Result<AnyPolicy> {
        routed("mod", &choice, |config| {
            let kept = match choice.ratio {
                None => config.kept.snapped(&config.bins).mean(),
                Some(ratio) => 1.0 - share(ratio)?,
            };
            Ok(KeptRatios::uniform(kept, config.kept.layers()))
        })
    }
}

/// Kept for a checkpoint without `diffcr`: whether it has no routers either.
#[derive(Clone, Copy, Debug)]
struct Lacking(bool);

impl Routers {
    /// Those that a model's checkpoint brings.
    pub fn of(trained: &Trained) -> Option<&Arc<Self>> {
        trained.get()
    }

    /// What a model lacks for routing.
    fn lacking(trained: &Trained) -> Option<String> {
        if Self::of(trained).is_some() {
            return None;
        }
        let ratios = "its transformer/config.json has no \"diffcr\" with kept ratios";
        Some(match trained.get() {
            Some(Lacking(false)) => format!("{ratios}, though its checkpoint has routers"),
            _ => format!("{ratios}, and its checkpoint no routers (transformer_blocks.0.router.weight and the like)"),
        })
    }
}

fn routed(
    name: &'static str,
    choice: &Choice<'_>,
    ratios: impl FnOnce(&DiffcrConfig) -> Result<KeptRatios>,
) -> Result<AnyPolicy> {
    let Some(routers) = Routers::of(choice.trained) else {
        return Err(Error::shape(name, "there are no routers"));
    };
    let (ratios, traced) = (ratios(&routers.config)?, choice.traced);
    Ok(AnyPolicy::new(Routed { name, routers: routers.clone(), ratios, traced }))
}

/// A share of tokens to save, which must leave some.
fn share(ratio: f64) -> Result<f64> {
    match (0.0..1.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err(Refusal::BadRatio { ratio, reason: "it is at least 0 and below 1".into() }.into()),
    }
}

/// Whether a tensor is `transformer_blocks.{i}.router.weight`.
fn is_router(name: &str) -> bool {
    let index = name.strip_prefix("transformer_blocks.").and_then(|rest| rest.strip_suffix(".router.weight"));
    index.is_some_and(|index| index.parse::<usize>().is_ok())
}
