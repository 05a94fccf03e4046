//! ToMe for diffusion (arXiv 2303.17604): before a sublayer the tokens most alike are averaged, after it each receives
//! the result of its group. Training-free; decided anew in every block and step.

use super::bipartite::{bipartite, layer_seed, sources};
use super::trace::destination_name;
use super::{
    AnyPolicy, BlockInput, BlockRows, Choice, Compaction, Parameter, Policy, PolicyKind, StepAt, Traces, Values,
};
use crate::graph::Graph;
use crate::kernels::{self, Pick, WriteRows};
use crate::{Refusal, Result};

/// Its options, by default as published.
#[derive(Clone, Debug)]
pub struct Tome {
    /// Share of the tokens that join others: at most all but one of each cell do.
    pub ratio: f64,
    /// Rows and columns of a cell, which has one destination.
    pub stride: [usize; 2],
    /// Whether self-attention computes on merged rows.
    pub attention: bool,
    /// Whether the feed-forward does.
    pub mlp: bool,
    /// Whether a cell's destination is its first token, instead of one drawn for each block and step.
    pub deterministic: bool,
    /// Seed of the draw.
    pub seed: u64,
    /// Whether every layer's destinations stay readable after a step.
    pub traced: bool,
}

static PARAMETERS: [Parameter; 5] = [
    Parameter { name: "ratio", default: "0.5", values: Values::Share, help: "the share of the tokens to merge away" },
    Parameter {
        name: "stride",
        default: "2",
        values: Values::Stride,
        help: "the side of a cell in tokens, or ROWSxCOLUMNS; each cell has one destination",
    },
    Parameter { name: "attn", default: "true", values: Values::Flag, help: "merge for self-attention" },
    Parameter { name: "mlp", default: "false", values: Values::Flag, help: "merge for the feed-forward" },
    Parameter {
        name: "deterministic",
        default: "false",
        values: Values::Flag,
        help: "a cell's destination is its first token, instead of one drawn by the seed",
    },
];

/// [`Tome`] in requests.
#[derive(Clone, Copy, Debug)]
pub struct TomeKind;

impl PolicyKind for TomeKind {
    fn name(&self) -> &str {
        "tome"
    }

    fn summary(&self) -> &str {
        "token merging: in every block the most similar tokens share a row (arXiv 2303.17604)"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &PARAMETERS
    }

    fn traces(&self) -> Traces {
        Traces::Merged
    }

    fn policy(&self, Choice { parameters, seed, traced, .. }: Choice<'_>) -> Result<AnyPolicy> {
        let tome = Tome {
            ratio: parameters.share("ratio")?,
            stride: parameters.stride("stride")?,
            attention: parameters.flag("attn")?,
            mlp: parameters.flag("mlp")?,
            deterministic: parameters.flag("deterministic")?,
            seed,
            traced,
        };
        if tome.stride == [1, 1] {
            let reason = "every token would be a destination, and none a source";
            return Err(parameters.refuse("stride", 1, reason));
        }
        Ok(AnyPolicy::new(tome))
    }
}

impl Policy for Tome {
    /// The tokens that may join others, before the grid limits them.
    type Step = usize;

    fn name(&self) -> &str {
        "tome"
    }

    fn step(&self, at: StepAt) -> usize {
        (at.tokens as f64 * self.ratio) as usize
    }

    /// Of the tokens that the merged sublayers compute on. A grid with incomplete cells may allow more.
    fn saved(&self, joining: &usize, tokens: usize, _layers: usize) -> Option<f64> {
        if !(self.attention || self.mlp) {
            return Some(0.0);
        }
        let [height, width] = self.stride;
        let most = tokens - tokens / (height * width);
        Some((*joining).min(most) as f64 / tokens.max(1) as f64)
    }

    fn block(&self, joining: &usize, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        let tokens = at.grid.tokens();
        let joining = (*joining).min(sources(at.grid, self.stride));
        if joining == 0 || !(self.attention || self.mlp) {
            return Ok(BlockRows::default());
        }
        if at.grid.rows < self.stride[0] || at.grid.columns < self.stride[1] {
            let ([h, w], grid) = (self.stride, at.grid);
            let reason = format!("has no room for a cell of {h}×{w}");
            return Err(Refusal::BadGrid { policy: "tome", grid, reason }.into());
        }
        let batch = graph.shape(at.stream)[0];
        let how = match self.deterministic {
            true => Pick::First,
            false => Pick::Random { step: at.step, seed: layer_seed(self.seed, at.layer) },
        };
        let position = kernels::pick(graph, batch, at.grid, self.stride, how)?;
        let destinations = bipartite(graph, at.stream, position, at.grid, self.stride, joining)?;
        let groups = kernels::groups(graph, destinations.of, tokens - joining)?;
        if self.traced {
            graph.store(destinations.of, destination_name(at.layer));
        }
        let write = WriteRows::Map { index: groups.place, weight: None };
        let merged = Compaction { merge: Some(groups), write, ..Compaction::default() };
        let or_dense = |merge: bool| if merge { merged } else { Compaction::default() };
        Ok(BlockRows { attention: or_dense(self.attention), mlp: or_dense(self.mlp), ..BlockRows::default() })
    }
}
