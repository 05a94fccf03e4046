//! ToMe for diffusion (arXiv 2303.17604): before a sublayer the tokens most alike are averaged, after it each receives
//! the result of its group. Training-free; decided anew in every block and step.

use super::bipartite::{bipartite, layer_seed, sources};
use super::{BlockInput, BlockRows, Compaction, Parameters, Policy, StepAt, Variant, destination_name};
use crate::graph::Graph;
use crate::kernels::{self, Pick, WriteRows};
use crate::{Error, Result};

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
    /// Whether every layer's destinations stay in the store.
    pub traced: bool,
}

impl Tome {
    /// The keys that `--set` knows.
    pub const KEYS: [&str; 5] = ["ratio", "stride", "attn", "mlp", "deterministic"];

    /// The published defaults, but for what `parameters` say.
    pub fn new(mut parameters: Parameters, seed: u64, traced: bool) -> Result<Self> {
        let tome = Self {
            ratio: parameters.share("ratio", 0.5)?,
            stride: parameters.stride("stride", [2, 2])?,
            attention: parameters.flag("attn", true)?,
            mlp: parameters.flag("mlp", false)?,
            deterministic: parameters.flag("deterministic", false)?,
            seed,
            traced,
        };
        if tome.stride == [1, 1] {
            return Err(Error::Usage("tome: stride = 1: every token would be a destination, and none a source".into()));
        }
        Ok(tome)
    }
}

impl Policy for Tome {
    fn name(&self) -> &'static str {
        "tome"
    }

    /// The tokens that may join, before the grid limits them.
    fn variant(&self, step: StepAt) -> Variant {
        vec![(step.tokens as f64 * self.ratio) as usize]
    }

    /// Of the tokens that the merged sublayers compute on. A grid with incomplete cells may allow more.
    fn saved(&self, variant: &Variant, tokens: usize) -> Option<f64> {
        if !(self.attention || self.mlp) {
            return Some(0.0);
        }
        let [height, width] = self.stride;
        let most = tokens - tokens / (height * width);
        Some(variant[0].min(most) as f64 / tokens.max(1) as f64)
    }

    fn block(&self, graph: &mut Graph, variant: &Variant, at: BlockInput) -> Result<BlockRows> {
        let tokens = at.grid[0] * at.grid[1];
        let joining = variant[0].min(sources(at.grid, self.stride));
        if joining == 0 || !(self.attention || self.mlp) {
            return Ok(BlockRows::default());
        }
        if at.grid[0] < self.stride[0] || at.grid[1] < self.stride[1] {
            let ([h, w], [rows, columns]) = (self.stride, at.grid);
            return Err(Error::Usage(format!(
                "tome: a cell of {h}×{w} tokens does not fit the grid of {rows}×{columns}"
            )));
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
            graph.keep(destinations.of, destination_name(at.layer));
        }
        let write = WriteRows::Map { index: groups.place, weight: None };
        let merged = Compaction { merge: Some(groups), write, ..Compaction::default() };
        let or_dense = |merge: bool| if merge { merged } else { Compaction::default() };
        Ok(BlockRows { attention: or_dense(self.attention), mlp: or_dense(self.mlp), ..BlockRows::default() })
    }
}
