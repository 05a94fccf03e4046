//! KV token compression of PixArt-Σ (arXiv 2403.04692) without its training: in some layers the keys and values of
//! self-attention are pooled over squares of the token grid, while every query stays.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{BlockInput, BlockRows, Parameters, Policy, StepAt, Variant};
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
    /// The layers whose keys are pooled; none: the second half of the model's.
    pub layers: Option<RangeInclusive<usize>>,
}

impl Kv {
    /// The keys that `--set` knows.
    pub const KEYS: [&str; 3] = ["stride", "sampling", "layers"];

    /// As published, squares of 2 × 2 in the second half of the layers, averaged; but for what `parameters` say.
    pub fn new(mut parameters: Parameters) -> Result<Self> {
        let stride = parameters.count("stride", 2, 1)?;
        let sampling = match parameters.text("sampling") {
            None => Sampling::Average,
            Some(name) => name.parse().map_err(|_| parameters.refuse("sampling", &name, "it is uniform or average"))?,
        };
        let layers = parameters.text("layers");
        let range = layers.map(|text| {
            let (first, last) = text.split_once('-').unwrap_or((&text, &text));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
                _ => Err(parameters.refuse("layers", &text, "it is a layer, or FIRST-LAST")),
            }
        });
        Ok(Self { stride, sampling, layers: range.transpose()? })
    }

    /// Whether a layer's keys are pooled, of a model of so many.
    fn pools(&self, layer: usize, layers: usize) -> Result<bool> {
        let last = layers.saturating_sub(1);
        match &self.layers {
            Some(range) if *range.end() > last => {
                let asked = format!("{}-{}", range.start(), range.end());
                Err(Error::Usage(format!("the policy kv: layers = {asked}: the model has layers 0-{last}")))
            }
            Some(range) => Ok(range.contains(&layer)),
            None => Ok(layer >= layers / 2),
        }
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
        if !self.pools(at.layer, at.layers)? {
            return Ok(BlockRows::default());
        }
        let (stride, [rows, columns]) = (self.stride, at.grid);
        if stride > rows.min(columns) {
            let reason = format!("it leaves no key of {rows}×{columns} tokens");
            return Err(Error::Usage(format!("the policy kv: stride = {stride}: {reason}")));
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

    fn rows(policy: &dyn Policy, [layer, layers]: [usize; 2], grid: [usize; 2]) -> Result<BlockRows> {
        let mut graph = Graph::new();
        let stream = graph.stored("x", &[1, grid[0] * grid[1], 4], Element::F32);
        let step = graph.stored("step", &[16], Element::F32);
        let at = BlockInput { layer, layers, stream, modulated: None, grid, step };
        let (rows, _) = StepPolicy { policy, variant: &Variant::new() }.enter(&mut graph, at, |_, _| Ok(stream))?;
        Ok(rows)
    }

    fn kv(given: &[(&str, &str)]) -> Result<Kv> {
        let given: Vec<_> = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Kv::new(Parameters::new("kv", &Kv::KEYS, &given)?)
    }

    #[test]
    fn the_second_half_by_default() {
        let pooled = Keys::Pooled { stride: 2, kind: PoolKind::Average };
        for (layers, first) in [(28, 14), (3, 1), (1, 0)] {
            for layer in 0..layers {
                let expected = if layer < first { Keys::All } else { pooled };
                let found = rows(&kv(&[]).unwrap(), [layer, layers], [4, 6]).unwrap().keys;
                assert_eq!(found, expected, "layer {layer} of {layers}");
            }
        }
    }

    #[test]
    fn parameters_are_read() {
        let asked = kv(&[("stride", "3"), ("sampling", "uniform"), ("layers", "1-2")]).unwrap();
        let keys = [0, 1, 2, 3].map(|layer| rows(&asked, [layer, 4], [4, 6]).unwrap().keys);
        let pooled = Keys::Pooled { stride: 3, kind: PoolKind::Uniform };
        assert_eq!(keys, [Keys::All, pooled, pooled, Keys::All]);
        assert_eq!(kv(&[("layers", "3")]).unwrap().layers, Some(3..=3));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |given: &[(&str, &str)]| {
            let error = kv(given).and_then(|kv| rows(&kv, [1, 4], [4, 6])).unwrap_err();
            assert!(error.is_usage(), "{error}");
            error.to_string()
        };
        for (found, reason) in [
            (refused(&[("stride", "0")]), "stride = 0: it is at least 1"),
            (refused(&[("layers", "2-4")]), "layers = 2-4: the model has layers 0-3"),
            (refused(&[("layers", "3-2")]), "layers = 3-2: it is a layer, or FIRST-LAST"),
            (refused(&[("sampling", "conv")]), "sampling = conv: it is uniform or average"),
            (refused(&[("stride", "5"), ("layers", "1")]), "stride = 5: it leaves no key of 4×6 tokens"),
        ] {
            assert!(found.contains(reason), "{found}");
        }
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
        let both = Both(kv(&[]).unwrap());
        assert!(rows(&both, [0, 2], [4, 4]).is_ok());
        let error = rows(&both, [1, 2], [4, 4]).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert_eq!(
            error.to_string(),
            "layer 1: the policy mixed pools keys over the token grid, which takes all tokens, and maps the rows of attention"
        );
    }
}
