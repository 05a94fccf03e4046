//! KV token compression of PixArt-Σ (arXiv 2403.04692) without its training: in some layers the keys and values of
//! self-attention are pooled over squares of the token grid, while every query stays.

use std::ops::RangeInclusive;

use super::{AnyPolicy, BlockInput, BlockRows, Choice, Parameter, Policy, PolicyKind, StepAt, Values};
use crate::graph::Graph;
use crate::kernels::{PoolKind, Pooling};
use crate::{Error, Refusal, Result};

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

static PARAMETERS: [Parameter; 3] = [
    Parameter {
        name: "stride",
        default: "2",
        values: Values::Count(1),
        help: "the side, in tokens, of a square of keys that become one",
    },
    Parameter {
        name: "sampling",
        default: "average",
        values: Values::Word(&["uniform", "average"]),
        help: "what becomes of a square: the mean of its keys, or (uniform) its first",
    },
    Parameter {
        name: "layers",
        default: "",
        values: Values::Layers,
        help: "one layer, or FIRST-LAST, counted from 0: such as 4-7, the second half of eight; by default the second half",
    },
];

/// [`Kv`] in requests.
#[derive(Clone, Copy, Debug)]
pub struct KvKind;

impl PolicyKind for KvKind {
    fn name(&self) -> &str {
        "kv"
    }

    fn summary(&self) -> &str {
        "pooled keys and values of self-attention (arXiv 2403.04692), without their training"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &PARAMETERS
    }

    fn no_ratio(&self) -> Option<&str> {
        Some("pools keys by its stride")
    }

    fn policy(&self, Choice { parameters, .. }: Choice<'_>) -> Result<AnyPolicy> {
        let sampling = match parameters.word("sampling")? {
            "uniform" => Sampling::Uniform,
            _ => Sampling::Average,
        };
        let (stride, layers) = (parameters.count("stride")?, parameters.layers("layers")?);
        Ok(AnyPolicy::new(Kv { stride, sampling, layers }))
    }
}

impl Kv {
    /// Whether a layer's keys are pooled, of a model of so many.
    fn pools(&self, layer: usize, layers: usize) -> Result<bool> {
        let last = layers.saturating_sub(1);
        match &self.layers {
            Some(range) if *range.end() > last => {
                let asked = format!("{}-{}", range.start(), range.end());
                Err(refuse("layers", asked, format!("the model has layers 0-{last}")))
            }
            Some(range) => Ok(range.contains(&layer)),
            None => Ok(layer >= layers / 2),
        }
    }
}

fn refuse(name: &str, value: impl ToString, reason: String) -> Error {
    Refusal::BadParameter { policy: "kv".into(), name: name.into(), value: value.to_string(), reason }.into()
}

impl Policy for Kv {
    type Step = ();

    fn name(&self) -> &str {
        "kv"
    }

    fn step(&self, _at: StepAt) {}

    fn block(&self, _step: &(), _graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        if !self.pools(at.layer, at.layers)? {
            return Ok(BlockRows::default());
        }
        let stride = self.stride;
        if stride > at.grid.rows.min(at.grid.columns) {
            return Err(refuse("stride", stride, format!("it leaves no key of {} tokens", at.grid)));
        }
        Ok(BlockRows { pooling: Some(Pooling { stride, kind: self.sampling.kind() }), ..BlockRows::default() })
    }
}

impl Sampling {
    /// The kernel's name for it.
    pub fn kind(self) -> PoolKind {
        match self {
            Self::Uniform => PoolKind::Uniform,
            Self::Average => PoolKind::Average,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;
    use crate::compress::{Compaction, Compression, Policies, Streams, Sublayer, Trained};
    use crate::graph::Element;
    use crate::kernels::{Gate, ReadRows};

    /// The pooling of one layer, as the policy decides it and the driver of blocks accepts it.
    fn pooling(
        policy: &AnyPolicy,
        [layer, layers]: [usize; 2],
        [rows, columns]: [usize; 2],
    ) -> Result<Option<Pooling>> {
        let mut graph = Graph::new();
        let image = graph.stored("x", &[1, rows * columns, 4], Element::F32);
        let step = graph.stored("step", &[16], Element::F32);
        let at = policy.step(StepAt { index: 0, of: 1, timestep: 0.0, tokens: rows * columns });
        let streams = Streams { image, others: &[], grid: Grid::new(rows, columns), step };
        let mut found = None;
        at.blocks(&mut graph, streams, layers, |graph, block| {
            if block.layer() != layer {
                return Ok(());
            }
            let input = BlockInput { layer, layers, stream: image, modulated: None, grid: streams.grid, step };
            found = at.block(graph, input)?.pooling;
            let read = |_: &mut Graph, _: ReadRows| Ok(image);
            block.sublayer(graph, Sublayer::Attention, read, |_, x, _| Ok(x), None::<Gate>)
        })?;
        Ok(found)
    }

    fn kv(given: &[(&str, &str)]) -> Result<AnyPolicy> {
        let mut compression = Compression::policy("kv");
        for (key, value) in given {
            compression = compression.with(key, value);
        }
        Policies::default().policy(&compression, &Trained::default(), 0, false)
    }

    #[test]
    fn the_second_half_by_default() {
        let pooled = Some(Pooling { stride: 2, kind: PoolKind::Average });
        for (layers, first) in [(28, 14), (3, 1), (1, 0)] {
            for layer in 0..layers {
                let expected = if layer < first { None } else { pooled };
                let found = pooling(&kv(&[]).unwrap(), [layer, layers], [4, 6]).unwrap();
                assert_eq!(found, expected, "layer {layer} of {layers}");
            }
        }
    }

    #[test]
    fn parameters_are_read() {
        let asked = kv(&[("stride", "3"), ("sampling", "uniform"), ("layers", "1-2")]).unwrap();
        let keys = [0, 1, 2, 3].map(|layer| pooling(&asked, [layer, 4], [4, 6]).unwrap());
        let pooled = Some(Pooling { stride: 3, kind: PoolKind::Uniform });
        assert_eq!(keys, [None, pooled, pooled, None]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |given: &[(&str, &str)]| {
            let error = kv(given).and_then(|kv| pooling(&kv, [1, 4], [4, 6])).unwrap_err();
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
        type Step = ();

        fn name(&self) -> &str {
            "mixed"
        }

        fn step(&self, _at: StepAt) {}

        fn block(&self, step: &(), graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
            let rows = self.0.block(step, graph, at)?;
            let index = graph.stored("kept", &[1, 2, 1], Element::U32);
            let read = ReadRows::Map { index, weight: None };
            Ok(BlockRows { attention: Compaction { read, ..rows.attention }, ..rows })
        }
    }

    #[test]
    fn mapped_rows_and_pooled_keys_clash() {
        let both = AnyPolicy::new(Both(Kv { stride: 2, sampling: Sampling::Average, layers: Some(1..=1) }));
        let error = pooling(&both, [1, 2], [4, 4]).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert_eq!(
            error.to_string(),
            "layer 1: the policy mixed pools keys over the token grid, which takes all tokens, and maps the rows of attention"
        );
    }
}
