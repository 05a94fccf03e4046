//! KV token compression of PixArt-Σ (arXiv 2403.04692) without its training: in some layers the keys and values of
//! self-attention are pooled over squares of the token grid, while every query stays.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{BlockInput, BlockRows, Policy, StepAt, Variant};
use crate::graph::Graph;
use crate::kernels::PoolKind;
use crate::{Error, Result};

/// Which keys and values a block's self-attention attends to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// Those of the rows it computes on.
    #[default]
    All,
    /// One for each square of the token grid. The block must then compute on every token.
    Pooled {
        /// Tokens along the square's side.
        stride: usize,
        /// What becomes of a square.
        kind: PoolKind,
    },
}

/// The ways to pool that need no weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// A square's top left token.
    Uniform,
    /// The mean of a square's tokens.
    Average,
}

/// Pools the keys of some layers.
#[derive(Clone, Debug)]
pub struct Kv {
    /// Tokens along the side of a square that becomes one key.
    pub stride: usize,
    /// What becomes of a square.
    pub sampling: Sampling,
    /// The layers whose keys are pooled.
    pub layers: RangeInclusive<usize>,
}

impl Kv {
    /// As published, for a model of so many layers: squares of 2 × 2 in the second half of them, averaged.
    pub fn new(layers: usize) -> Self {
        Self { stride: 2, sampling: Sampling::Average, layers: layers / 2..=layers.saturating_sub(1) }
    }

    /// Refuses what a model of so many layers cannot do.
    pub fn check(&self, layers: usize) -> Result<()> {
        let (first, last) = (*self.layers.start(), *self.layers.end());
        if self.stride == 0 {
            return Err(Error::Usage("the policy kv: a stride of 0 leaves no key".into()));
        }
        if first > last || last >= layers {
            let there = layers.saturating_sub(1);
            return Err(Error::Usage(format!("the policy kv: layers {first}-{last}: the model has layers 0-{there}")));
        }
        Ok(())
    }
}

impl Policy for Kv {
    fn name(&self) -> &'static str {
        "kv"
    }

    fn variant(&self, _step: StepAt) -> Variant {
        Variant::new()
    }

    fn block(&self, _graph: &mut Graph, _variant: &Variant, at: BlockInput) -> Result<BlockRows> {
        if !self.layers.contains(&at.layer) {
            return Ok(BlockRows::default());
        }
        let (stride, [rows, columns]) = (self.stride, at.grid);
        if stride == 0 || stride > rows.min(columns) {
            let reason = format!("a stride of {stride} leaves no key of {rows}×{columns} tokens");
            return Err(Error::Usage(format!("the policy kv: {reason}")));
        }
        Ok(BlockRows { keys: Keys::Pooled { stride, kind: self.sampling.kind() }, ..BlockRows::default() })
    }
}

impl Sampling {
    /// As the kernel knows it.
    pub fn kind(self) -> PoolKind {
        match self {
            Self::Uniform => PoolKind::Uniform,
            Self::Average => PoolKind::Average,
        }
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Uniform => "uniform",
            Self::Average => "average",
        })
    }
}

impl FromStr for Sampling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Uniform, Self::Average]
            .into_iter()
            .find(|sampling| sampling.to_string() == name)
            .ok_or_else(|| Error::Usage(format!("no sampling {name:?}: there are uniform and average")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{Compaction, StepPolicy};
    use crate::graph::Element;
    use crate::kernels::ReadRows;

    fn rows(policy: &dyn Policy, layer: usize, grid: [usize; 2]) -> Result<BlockRows> {
        let mut graph = Graph::new();
        let stream = graph.stored("x", &[1, grid[0] * grid[1], 4], Element::F32);
        StepPolicy { policy, variant: &Variant::new() }.block(&mut graph, BlockInput { layer, stream, grid })
    }

    #[test]
    fn the_second_half_by_default() {
        let pooled = Keys::Pooled { stride: 2, kind: PoolKind::Average };
        for (layers, first) in [(28, 14), (3, 1), (1, 0)] {
            let kv = Kv::new(layers);
            kv.check(layers).unwrap();
            for layer in 0..layers {
                let expected = if layer < first { Keys::All } else { pooled };
                assert_eq!(rows(&kv, layer, [4, 6]).unwrap().keys, expected, "layer {layer} of {layers}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let kv = |stride, layers| Kv { stride, layers, ..Kv::new(4) };
        for (kv, reason) in [
            (kv(0, 2..=3), "a stride of 0 leaves no key"),
            (kv(2, 2..=4), "layers 2-4: the model has layers 0-3"),
            (kv(2, RangeInclusive::new(3, 2)), "layers 3-2: the model has layers 0-3"),
        ] {
            let error = kv.check(4).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
        let error = rows(&kv(5, 0..=3), 1, [4, 6]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("a stride of 5 leaves no key of 4×6 tokens"), "{error}");
        for sampling in [Sampling::Uniform, Sampling::Average] {
            assert_eq!(sampling.to_string().parse::<Sampling>().unwrap(), sampling);
        }
        let error = "conv".parse::<Sampling>().unwrap_err().to_string();
        assert_eq!(error, "no sampling \"conv\": there are uniform and average");
    }

    /// A policy that pools the keys of a layer in which it computes on some rows only.
    #[derive(Debug)]
    struct Both(Kv);

    impl Policy for Both {
        fn name(&self) -> &'static str {
            "mixed"
        }

        fn variant(&self, step: StepAt) -> Variant {
            self.0.variant(step)
        }

        fn block(&self, graph: &mut Graph, variant: &Variant, at: BlockInput) -> Result<BlockRows> {
            let rows = self.0.block(graph, variant, at)?;
            let index = graph.stored("kept", &[1, 2, 1], Element::U32);
            let read = ReadRows::Map { index, weight: None };
            Ok(BlockRows { attention: Compaction { read, ..rows.attention }, ..rows })
        }
    }

    #[test]
    fn mapped_rows_and_pooled_keys_clash() {
        let both = Both(Kv::new(2));
        assert!(rows(&both, 0, [4, 4]).is_ok());
        let error = rows(&both, 1, [4, 4]).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert_eq!(
            error.to_string(),
            "layer 1: the policy mixed pools keys over the token grid, which takes all tokens, and maps the rows of attention"
        );
    }
}
