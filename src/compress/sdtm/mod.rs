//! SDTM (arXiv 2505.11707): merge structure while the picture takes shape, detail afterwards. Training-free.
//!
//! Early steps merge whole 2×2 windows of similar tokens, for attention and feed-forward; later ones merge single
//! tokens into the oldest of their window, for the feed-forward alone. Every few steps run dense, and lend their
//! branches to the merged tokens of the steps between. A token's age is the blocks since it last had a row of its own:
//! windows that merged before are preferred, and in the detail stage the oldest of a window is what others merge into.
//! Where paper and the authors' program differ, this follows the program.

mod parameters;
mod stage;

use super::bipartite::{bipartite, layer_seed, sources};
use super::trace::destination_name;
use super::{BlockInput, BlockRows, CARRIED, Compaction, Policy, Remembered, StepAt, attentiveness_name};
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Affine, Ages, Destinations, Pick, WriteRows};
use crate::{Error, Grid, Refusal, Result, Warning};
pub use parameters::SdtmKind;
pub use stage::{Rank, Stage};

/// A window's tokens, along each side.
const WINDOW: [usize; 2] = [2, 2];

/// Its parameters, by default as published.
#[derive(Clone, Debug)]
pub struct Sdtm {
    /// ρ: the share of the tokens to merge away, about the middle of the schedule.
    pub ratio: f64,
    /// δ: the share begins at ρ + δ and falls to ρ − δ.
    pub deviation: f64,
    /// The last step of the structure stage.
    pub switch_step: usize,
    /// Steps whose number this divides run dense; 0: none.
    pub protect_every: usize,
    /// What a merged token takes of its own branch; the rest comes from the last protected step's.
    pub cache_weight: f64,
    /// What age adds to a window's score.
    pub a_s: f64,
    /// What age adds to the attention that a token receives, where that counts.
    pub a_d: f64,
    /// Whether a window's destination in the detail stage is the token with the most attention and age, as in the
    /// paper, instead of the oldest, as in the authors' program. The attention is that of the same layer in the last
    /// protected step: this block's own would cost more than what merging its feed-forward saves.
    pub attention: bool,
    /// Whether a window's destination is its first token, instead of one drawn.
    pub deterministic: bool,
    /// Windows, and single tokens, merge in multiples of this.
    pub multiple: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Whether every layer's destinations stay readable after a step.
    pub traced: bool,
}

impl Sdtm {
    /// Each token's age `[B, N]` and their sum `[B]`, shared by all layers.
    fn ages(graph: &mut Graph, batch: usize, tokens: usize) -> Ages {
        let mut stored = |name: &str, shape: &[usize]| graph.stored(format!("{CARRIED}{name}"), shape, Element::F32);
        Ages { ages: stored("ages", &[batch, tokens]), total: stored("ages.total", &[batch]) }
    }

    fn pick(&self, at: BlockInput) -> Pick {
        match self.deterministic {
            true => Pick::First,
            false => Pick::Random { step: at.step, seed: layer_seed(self.seed, at.layer) },
        }
    }

    /// The windows most alike, by the mean cosine of their tokens and their age, each become one row.
    fn structure(&self, graph: &mut Graph, at: BlockInput, windows: usize) -> Result<Option<Destinations>> {
        let (tokens, [batch, count, _]) = metric(graph, at)?;
        let ages = Self::ages(graph, batch, count);
        if windows == 0 {
            kernels::ages(graph, ages, None)?;
            return Ok(None);
        }
        let scores = kernels::window_scores(graph, tokens, at.grid, Some((ages, self.a_s as f32)))?;
        let place = kernels::select(graph, scores, windows)?.place;
        let position = kernels::pick(graph, batch, at.grid, WINDOW, self.pick(at))?;
        let destinations = kernels::window_destinations(graph, place, position, at.grid)?;
        kernels::ages(graph, ages, Some(destinations.merged))?;
        Ok(Some(destinations))
    }

    /// The tokens most like some window's destination join it.
    fn detail(&self, graph: &mut Graph, at: BlockInput, joining: usize, rank: Rank) -> Result<Destinations> {
        let (tokens, [batch, count, _]) = metric(graph, at)?;
        let ages = Self::ages(graph, batch, count);
        let how = match rank {
            // The first block of the first step that merges; those after it have ages to go by.
            Rank::Any if at.layer == 0 => self.pick(at),
            Rank::Any | Rank::Age => Pick::Oldest { ages: ages.ages },
            Rank::Attention => {
                let attention = graph.stored(attentiveness_name(at.layer), &[batch, count], Element::F32);
                Pick::Oldest { ages: kernels::priorities(graph, attention, ages, self.a_d as f32)? }
            }
        };
        let position = kernels::pick(graph, batch, at.grid, WINDOW, how)?;
        let joining = joining.min(sources(at.grid, WINDOW));
        let destinations = bipartite(graph, tokens, position, at.grid, WINDOW, joining)?;
        kernels::ages(graph, ages, Some(destinations.merged))?;
        Ok(destinations)
    }

    /// The rows of a sublayer that computes on `kept` rows of these groups.
    fn merged(&self, graph: &mut Graph, destinations: Destinations, kept: usize, recall: bool) -> Result<Compaction> {
        let groups = kernels::groups(graph, destinations.of, kept)?;
        // Of its own branch a merged token takes the cache's weight, any other all.
        let lent = 1.0 - self.cache_weight as f32;
        let (weight, share) = match recall {
            false => (None, None),
            true => {
                let own = Affine { scale: -lent, shift: 1.0, ..Affine::default() };
                let share = Affine { scale: lent, ..Affine::default() };
                let own = kernels::affine(graph, destinations.merged, own)?;
                (Some(own), Some(kernels::affine(graph, destinations.merged, share)?))
            }
        };
        Ok(Compaction {
            merge: Some(groups),
            write: WriteRows::Map { index: groups.place, weight },
            remembered: share.map_or(Remembered::Nothing, |share| Remembered::Recalled { share }),
            ..Compaction::default()
        })
    }
}

impl Policy for Sdtm {
    type Step = Stage;

    fn name(&self) -> &str {
        "sdtm"
    }

    fn step(&self, at: StepAt) -> Stage {
        self.stage(at)
    }

    fn saved(&self, stage: &Stage, tokens: usize, _layers: usize) -> Option<f64> {
        Some(stage.merged() as f64 / tokens.max(1) as f64)
    }

    fn warning(&self, stages: &[&Stage], tokens: usize) -> Option<Warning> {
        if stages.iter().any(|stage| stage.merged() > 0) {
            return None;
        }
        // Stages that would merge, had the rounding left them anything.
        let rounded = stages.iter().any(|stage| matches!(stage, Stage::Structure { .. } | Stage::Detail { .. }));
        Some(Warning::NothingMerges { tokens, multiple: rounded.then_some(self.multiple) })
    }

    fn sees_modulated(&self, stage: &Stage) -> bool {
        matches!(stage, Stage::Structure { .. } | Stage::Detail { .. })
    }

    fn block(&self, stage: &Stage, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        let Grid { rows, columns } = at.grid;
        if rows % 2 != 0 || columns % 2 != 0 {
            let reason = "has an odd side, and 2×2 windows are merged".into();
            return Err(Refusal::BadGrid { policy: "sdtm", grid: at.grid, reason }.into());
        }
        let (tokens, mut decided) = (at.grid.tokens(), BlockRows::default());
        let destinations = match *stage {
            Stage::Idle => None,
            Stage::Protected { store_attention, store_mlp, watch } => {
                let stored = |store: bool| if store { Remembered::Stored } else { Remembered::Nothing };
                decided.attention.remembered = stored(store_attention);
                decided.mlp.remembered = stored(store_mlp);
                decided.attentiveness = watch;
                None
            }
            Stage::Structure { windows, recall } => {
                let destinations = self.structure(graph, at, windows)?;
                if let Some(destinations) = destinations {
                    let merged = self.merged(graph, destinations, tokens - 3 * windows, recall)?;
                    (decided.attention, decided.mlp) = (merged, merged);
                }
                destinations
            }
            Stage::Detail { joining, recall, rank } => {
                let destinations = self.detail(graph, at, joining, rank)?;
                decided.mlp = self.merged(graph, destinations, tokens - joining, recall)?;
                Some(destinations)
            }
        };
        if let (true, Some(destinations)) = (self.traced, destinations) {
            graph.store(destinations.of, destination_name(at.layer));
        }
        Ok(decided)
    }
}

/// What tokens are compared by, and its shape.
fn metric(graph: &Graph, at: BlockInput) -> Result<(ValueId, [usize; 3])> {
    let tokens = at.modulated.ok_or_else(|| Error::shape("sdtm", "a block did not offer its modulated tokens"))?;
    Ok((tokens, graph.dims("sdtm", tokens)?))
}
