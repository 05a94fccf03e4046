//! Step caching: what the inner blocks add to the stream changes little from one step to the next, so only every n-th
//! step computes it; the others add what was kept. Training-free, and a wrapper around any policy.
//!
//! The kept difference spans whole blocks, as in Δ-DiT (arXiv 2406.01125), at a fixed rhythm, as in FORA (arXiv 2407.01425): which
//! steps compute is known before the run, so a step stays one recording without readback.

use std::fmt;
use std::str::FromStr;

use super::{BlockInput, BlockRows, CARRIED, KeptRatios, Policy, StepAt, Variant};
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Affine, WriteRows};
use crate::{Error, Result};

/// Which blocks are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepCache {
    /// Steps whose number this divides compute all blocks.
    pub every: usize,
    /// Blocks at the start that every step computes.
    pub first: usize,
    /// Blocks at the end that every step computes.
    pub last: usize,
}

/// The blocks of one step that are not merely computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// None.
    Compute,
    /// What blocks `first..end` add to the stream is kept.
    Record {
        /// The first of them.
        first: usize,
        /// The one after the last.
        end: usize,
    },
    /// What they added is added again instead.
    Reuse {
        /// The first of them.
        first: usize,
        /// The one after the last.
        end: usize,
    },
}

/// A policy under a step cache.
#[derive(Debug)]
pub struct Cached {
    /// What decides on the blocks that are computed.
    pub policy: Box<dyn Policy>,
    /// Which are.
    pub cache: StepCache,
}

impl StepCache {
    fn span(self, layers: usize, computes: bool) -> Result<Span> {
        let (first, end) = (self.first, layers.saturating_sub(self.last));
        match (first < end, computes) {
            (true, true) => Ok(Span::Record { first, end }),
            (true, false) => Ok(Span::Reuse { first, end }),
            (false, _) => {
                Err(Error::Usage(format!("the step cache {self} leaves none of this model's {layers} blocks to keep")))
            }
        }
    }
}

impl Span {
    /// Before block `layer`: whether it is to be computed.
    pub(super) fn begins(self, graph: &mut Graph, x: ValueId, layer: usize) -> Result<bool> {
        match self {
            Self::Compute => Ok(true),
            Self::Record { first, .. } => {
                if layer == first {
                    graph.group("step cache");
                    let minus = kernels::affine(graph, x, Affine { scale: -1.0, ..Affine::default() })?;
                    graph.keep(minus, difference());
                }
                Ok(true)
            }
            Self::Reuse { first, end } => {
                if layer == first {
                    graph.group("step cache");
                    let difference = stored(graph, x);
                    kernels::residual(graph, x, difference, None, WriteRows::All)?;
                }
                Ok(!(first..end).contains(&layer))
            }
        }
    }

    /// After it.
    pub(super) fn ends(self, graph: &mut Graph, x: ValueId, layer: usize) -> Result<()> {
        match self {
            Self::Record { end, .. } if layer + 1 == end => {
                graph.group("step cache");
                let difference = stored(graph, x);
                kernels::residual(graph, difference, x, None, WriteRows::All)
            }
            _ => Ok(()),
        }
    }
}

/// The stream `[B, N, C]` after the kept blocks less the stream before them.
fn difference() -> String {
    format!("{CARRIED}difference")
}

fn stored(graph: &mut Graph, x: ValueId) -> ValueId {
    let shape = graph.shape(x).to_vec();
    graph.stored(difference(), &shape, Element::F32)
}

/// The policy's own variant, and whether the step computes all blocks.
impl Policy for Cached {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn label(&self) -> String {
        format!("{} + cache", self.policy.label())
    }

    fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.policy.kept_ratios()
    }

    fn variant(&self, step: StepAt) -> Variant {
        let mut variant = self.policy.variant(step);
        variant.push(usize::from(step.index.is_multiple_of(self.cache.every)));
        variant
    }

    fn warning(&self, variants: &[Variant], tokens: usize) -> Option<String> {
        // Of steps that compute all blocks: the others hardly ask the policy.
        let whole = variants.iter().filter(|variant| variant.last() == Some(&1)).map(own);
        self.policy.warning(&whole.collect::<Vec<_>>(), tokens)
    }

    fn sees_modulated(&self, variant: &Variant) -> bool {
        self.policy.sees_modulated(&own(variant))
    }

    fn block(&self, graph: &mut Graph, variant: &Variant, at: BlockInput) -> Result<BlockRows> {
        self.policy.block(graph, &own(variant), at)
    }

    fn span(&self, variant: &Variant, layers: usize) -> Result<Span> {
        self.cache.span(layers, variant.last() == Some(&1))
    }
}

/// What the wrapped policy made of the step.
fn own(variant: &Variant) -> Variant {
    variant[..variant.len().saturating_sub(1)].to_vec()
}

/// `every=2,first=1,last=1`, or the first number alone.
impl FromStr for StepCache {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: String| Error::Usage(format!("a step cache of {text:?}: {why}"));
        let mut cache = Self { every: 0, first: 1, last: 1 };
        let mut seen = Vec::new();
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or(("every", part));
            if seen.contains(&key.trim()) {
                return Err(refuse(format!("{} is said twice", key.trim())));
            }
            seen.push(key.trim());
            let place = match key.trim() {
                "every" => &mut cache.every,
                "first" => &mut cache.first,
                "last" => &mut cache.last,
                other => return Err(refuse(format!("there is no {other:?}, only every, first and last"))),
            };
            *place = value.trim().parse().map_err(|_| refuse(format!("{value:?} is no whole number")))?;
        }
        match cache.every {
            0 | 1 => Err(refuse("with fewer than 2 steps from one computation to the next nothing is reused".into())),
            _ => Ok(cache),
        }
    }
}

impl fmt::Display for StepCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every={},first={},last={}", self.every, self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::Tensor;
    use crate::compress::{Dense, StepPolicy};
    use crate::graph::reference;

    #[test]
    fn reads_what_it_prints() {
        let cache: StepCache = "3".parse().unwrap();
        assert_eq!(cache, StepCache { every: 3, first: 1, last: 1 });
        let cache: StepCache = "every=2, last=0,first=4".parse().unwrap();
        assert_eq!(cache, StepCache { every: 2, first: 4, last: 0 });
        assert_eq!(cache.to_string().parse::<StepCache>().unwrap(), cache);
        for (text, reason) in [
            ("1", "nothing is reused"),
            ("first=2", "nothing is reused"),
            ("x", "no whole number"),
            ("2,mid=3", "\"mid\""),
            ("2,every=3", "every is said twice"),
        ] {
            let error = text.parse::<StepCache>().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
    }

    /// Four blocks, block i adding values[i]; what the stream is after a step.
    fn step(policy: &dyn Policy, index: usize, stored: &mut HashMap<String, Tensor>, values: [f32; 4]) -> f32 {
        let variant = policy.variant(StepAt { index, of: 4, timestep: 0.0, tokens: 1 });
        let mut graph = Graph::new();
        let x = graph.stored("x", &[1, 1, 1], Element::F32);
        let add = |graph: &mut Graph, layer: usize| {
            let value = graph.stored(format!("value {layer}"), &[1, 1, 1], Element::F32);
            kernels::residual(graph, x, value, None, WriteRows::All)
        };
        StepPolicy { policy, variant: &variant }.blocks(&mut graph, x, 4, add).unwrap();
        let one = |value: f32| Tensor::new(&[1, 1, 1], vec![value]).unwrap();
        stored.insert("x".into(), one(100.0));
        stored.extend(values.iter().enumerate().map(|(layer, &value)| (format!("value {layer}"), one(value))));
        let host = reference::run(&graph, stored).unwrap();
        if let Some(kept) = graph.values().iter().position(|value| value.name == difference()) {
            stored.insert(difference(), one(host.f32(ValueId(kept as u32))[0]));
        }
        host.f32(x)[0]
    }

    #[test]
    fn inner_blocks_are_added_again() {
        let policy = Cached { policy: Box::new(Dense), cache: "2".parse().unwrap() };
        let mut stored = HashMap::new();
        assert_eq!(step(&policy, 0, &mut stored, [1.0, 2.0, 3.0, 4.0]), 110.0);
        assert_eq!(step(&policy, 1, &mut stored, [10.0, 0.0, 0.0, 40.0]), 155.0, "2 + 3 of the step before");
        assert_eq!(step(&policy, 2, &mut stored, [1.0, 1.0, 1.0, 1.0]), 104.0);
        assert_eq!(step(&policy, 3, &mut stored, [0.0, 9.0, 9.0, 0.0]), 102.0);
    }

    #[test]
    fn a_cache_without_blocks_is_refused() {
        let policy = Cached { policy: Box::new(Dense), cache: "every=2,first=3,last=1".parse().unwrap() };
        let error = policy.span(&vec![1], 4).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("none of this model's 4 blocks"), "{error}");
        assert_eq!(policy.span(&vec![1], 5).unwrap(), Span::Record { first: 3, end: 4 });
    }
}
