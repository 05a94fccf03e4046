//! Step caching: what the inner blocks add to the stream changes little from one step to the next. Only every n-th step
//! computes it; the others add what was stored. It needs no training and wraps any policy.
//!
//! The stored difference spans whole blocks, as in Δ-DiT (arXiv 2406.01125), at a fixed rhythm, as in FORA (arXiv
//! 2407.01425). Which steps compute is known before the run, so a step needs no readback.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AnyPolicy, BlockInput, BlockRows, CARRIED, KeptRatios, Policy, PolicyStep, RunAt, StepAt};
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Affine, WriteRows};
use crate::{Error, Refusal, Result, Tensor, Warning};

/// Which blocks are reused, and for how long. As text and in JSON: `every=2,first=1,last=1`, or the first number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepCache {
    /// Steps whose number this divides compute all blocks.
    pub every: usize,
    /// Blocks at the start that every step computes.
    pub first: usize,
    /// Blocks at the end that every step computes.
    pub last: usize,
}

/// Which blocks of one step are stored for later steps, or taken over from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// None: every block is computed.
    Compute,
    /// What the blocks `first..end` add to the stream is stored.
    Record {
        /// The first of them.
        first: usize,
        /// The one after the last.
        end: usize,
    },
    /// What they added earlier is added again; they are not computed.
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
    /// Decides on the blocks that are computed.
    pub policy: AnyPolicy,
    /// Which blocks are computed.
    pub cache: StepCache,
}

/// What the inner policy makes of a step, and whether the step computes all blocks.
#[derive(Debug, PartialEq)]
pub struct CachedStep {
    inner: PolicyStep,
    computes: bool,
}

impl Policy for Cached {
    type Step = CachedStep;

    fn name(&self) -> &str {
        self.policy.name()
    }

    fn tables(&self, run: RunAt) -> Result<Vec<(String, Tensor)>> {
        self.policy.tables(run)
    }

    fn label(&self) -> String {
        format!("{} + cache", self.policy.label())
    }

    fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.policy.kept_ratios()
    }

    fn step(&self, at: StepAt) -> CachedStep {
        CachedStep { inner: self.policy.step(at), computes: at.index.is_multiple_of(self.cache.every) }
    }

    /// Of the steps that compute all blocks: the others hardly ask the policy.
    fn warning(&self, steps: &[&CachedStep], tokens: usize) -> Option<Warning> {
        let whole = steps.iter().filter(|step| step.computes).map(|step| step.inner.clone());
        self.policy.warning(&whole.collect::<Vec<_>>(), tokens)
    }

    /// A block that is not computed saves all of its tokens.
    fn saved(&self, step: &CachedStep, tokens: usize, layers: usize) -> Option<f64> {
        let inner = step.inner.saved(tokens, layers);
        if step.computes {
            return inner;
        }
        let computed = (self.cache.first + self.cache.last).min(layers) as f64 / layers.max(1) as f64;
        Some(1.0 - computed * (1.0 - inner.unwrap_or(0.0)))
    }

    fn sees_modulated(&self, step: &CachedStep) -> bool {
        step.inner.sees_modulated()
    }

    fn block(&self, step: &CachedStep, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        step.inner.block(graph, at)
    }

    fn span(&self, step: &CachedStep, layers: usize) -> Result<Span> {
        self.cache.span(layers, step.computes)
    }
}

impl StepCache {
    fn span(self, layers: usize, computes: bool) -> Result<Span> {
        let (first, end) = (self.first, layers.saturating_sub(self.last));
        match (first < end, computes) {
            (true, true) => Ok(Span::Record { first, end }),
            (true, false) => Ok(Span::Reuse { first, end }),
            (false, _) => {
                let reason = format!("it leaves none of this model's {layers} blocks to keep");
                Err(Refusal::BadStepCache { cache: self.to_string(), reason }.into())
            }
        }
    }
}

impl Span {
    /// Before block `layer`, with the streams that the blocks update: whether the block is to be computed.
    pub(super) fn begins(self, graph: &mut Graph, streams: &[ValueId], layer: usize) -> Result<bool> {
        let (first, end) = match self {
            Self::Compute => return Ok(true),
            Self::Record { first, end } | Self::Reuse { first, end } => (first, end),
        };
        let reuses = matches!(self, Self::Reuse { .. });
        if layer == first {
            graph.group("step cache");
            for (index, &x) in streams.iter().enumerate() {
                if reuses {
                    let difference = difference(graph, x, index);
                    kernels::residual(graph, x, difference, None, WriteRows::All)?;
                } else {
                    let minus = kernels::affine(graph, x, Affine { scale: -1.0, ..Affine::default() })?;
                    graph.store(minus, difference_name(index));
                }
            }
        }
        Ok(!(reuses && (first..end).contains(&layer)))
    }

    /// After it.
    pub(super) fn ends(self, graph: &mut Graph, streams: &[ValueId], layer: usize) -> Result<()> {
        let Self::Record { end, .. } = self else { return Ok(()) };
        if layer + 1 == end {
            graph.group("step cache");
            for (index, &x) in streams.iter().enumerate() {
                let difference = difference(graph, x, index);
                kernels::residual(graph, difference, x, None, WriteRows::All)?;
            }
        }
        Ok(())
    }
}

/// Stored: a stream after the reused blocks less the stream before them, `[B, N, C]`.
fn difference_name(stream: usize) -> String {
    format!("{CARRIED}difference.{stream}")
}

fn difference(graph: &mut Graph, x: ValueId, stream: usize) -> ValueId {
    let shape = graph.shape(x).to_vec();
    graph.stored(difference_name(stream), &shape, Element::F32)
}

impl TryFrom<String> for StepCache {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<StepCache> for String {
    fn from(cache: StepCache) -> Self {
        cache.to_string()
    }
}

/// `every=2,first=1,last=1`, or the first number alone.
impl FromStr for StepCache {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason: String| Error::from(Refusal::BadStepCache { cache: text.into(), reason });
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
    use crate::Grid;
    use crate::compress::{Dense, Streams};
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
    fn step(policy: &AnyPolicy, index: usize, stored: &mut HashMap<String, Tensor>, values: [f32; 4]) -> f32 {
        let step = policy.step(StepAt { index, of: 4, timestep: 0.0, tokens: 1 });
        let mut graph = Graph::new();
        let x = graph.stored("x", &[1, 1, 1], Element::F32);
        let row = graph.stored("step", &[16], Element::F32);
        let streams = Streams { image: x, others: &[], grid: Grid::new(1, 1), step: row };
        let blocks = step.blocks(&mut graph, streams, 4, |graph, block| {
            let value = graph.stored(format!("value {}", block.layer()), &[1, 1, 1], Element::F32);
            kernels::residual(graph, x, value, None, WriteRows::All)
        });
        blocks.unwrap();
        let one = |value: f32| Tensor::new(&[1, 1, 1], vec![value]).unwrap();
        stored.insert("x".into(), one(100.0));
        stored.extend(values.iter().enumerate().map(|(layer, &value)| (format!("value {layer}"), one(value))));
        let host = reference::run(&graph, stored).unwrap();
        if let Some(kept) = graph.values().iter().position(|value| value.name == difference_name(0)) {
            stored.insert(difference_name(0), one(host.f32(ValueId(kept as u32))[0]));
        }
        host.f32(x)[0]
    }

    #[test]
    fn inner_blocks_are_added_again() {
        let policy = AnyPolicy::new(Cached { policy: AnyPolicy::new(Dense), cache: "2".parse().unwrap() });
        let mut stored = HashMap::new();
        assert_eq!(step(&policy, 0, &mut stored, [1.0, 2.0, 3.0, 4.0]), 110.0);
        assert_eq!(step(&policy, 1, &mut stored, [10.0, 0.0, 0.0, 40.0]), 155.0, "2 + 3 of the step before");
        assert_eq!(step(&policy, 2, &mut stored, [1.0, 1.0, 1.0, 1.0]), 104.0);
        assert_eq!(step(&policy, 3, &mut stored, [0.0, 9.0, 9.0, 0.0]), 102.0);
    }

    #[test]
    fn a_cache_without_blocks_is_refused() {
        let cache: StepCache = "every=2,first=3,last=1".parse().unwrap();
        let error = cache.span(4, true).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("none of this model's 4 blocks"), "{error}");
        assert_eq!(cache.span(5, true).unwrap(), Span::Record { first: 3, end: 4 });
    }
}
