//! Masked compute: where only a part of a picture is drawn anew, only that part's tokens are computed. The others are
//! context. Their keys and values, layer by layer, come from the last step that computed all tokens; what they would
//! add to the stream is never needed, for the picture outside the mask is known.
//!
//! It wraps policies that can choose among some of the tokens: dense computes all of those under the mask, DiffCR and
//! MoD route among them. After Lazy Diffusion (arXiv 2404.12382), which computes where the mask is, for any model: no
//! context encoder is trained, the model's own keys and values take its place.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AnyPolicy, BlockInput, BlockRows, Context, KeptRatios, Policy, PolicyStep, RunAt, Span, StepAt};
use crate::area::near;
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::NOTHING;
use crate::{Error, Grid, Refusal, Result, Size, Tensor, Warning};

/// How masked compute is done. As text and in JSON: `every=10,around=1,decode=1`, or the first number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaskedCompute {
    /// Steps whose number this divides compute all tokens, and refresh the keys and values of the context.
    pub every: usize,
    /// So many tokens around the mask are computed too.
    pub around: usize,
    /// How much of the picture is decoded.
    pub decode: Decode,
}

/// How much of a picture is decoded of which only a part is drawn anew. As text: `1` or `whole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// What is under the mask, and so many latent pixels around it. The rest of the picture is the given one. Near to
    /// the whole, and not the same.
    Halo(usize),
    /// All of it.
    Whole,
}

impl Default for MaskedCompute {
    fn default() -> Self {
        Self { every: 10, around: 1, decode: Decode::Halo(1) }
    }
}

/// The tokens that a step may compute.
#[derive(Clone, Copy, Debug)]
pub enum Among {
    /// All, and none may be left out: their keys and values are kept.
    All,
    /// Those under the mask.
    Marked(Marked),
}

/// The tokens under the mask, as the graph has them.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// How many.
    pub count: usize,
    /// `[B, count, 1]`: which, ascending.
    pub rows: ValueId,
    /// `[B, N]`: the place of each token among them, or [`NOTHING`].
    pub place: ValueId,
    /// `[B, N]`: 0 of a token under the mask, else so low that no logit makes up for it.
    pub bias: ValueId,
}

/// A policy among the tokens under a mask.
#[derive(Debug)]
pub struct Masked {
    policy: AnyPolicy,
    compute: MaskedCompute,
    tokens: Arc<[u32]>,
}

/// What the inner policy makes of a step, and whether the step computes all tokens.
#[derive(Debug, PartialEq)]
pub struct MaskedStep {
    inner: PolicyStep,
    whole: bool,
}

/// Added to the logits of tokens outside the mask.
const NEVER: f32 = -1e30;

impl Masked {
    /// `policy` among the tokens that `marked` marks, token by token of `grid`, and those around them.
    pub fn new(policy: AnyPolicy, compute: MaskedCompute, grid: Grid, marked: &[bool]) -> Result<Self> {
        if !policy.chooses_among() {
            return Err(Refusal::NotMasked { policy: policy.label() }.into());
        }
        Ok(Self { policy, compute, tokens: around(grid, marked, compute.around).into() })
    }

    /// The stored tables of a graph.
    fn marked(&self, graph: &mut Graph, at: BlockInput) -> Result<Marked> {
        let [samples, tokens, _] = graph.dims("masked", at.stream)?;
        let count = self.tokens.len();
        Ok(Marked {
            count,
            rows: graph.stored(ROWS, &[samples, count, 1], Element::U32),
            place: graph.stored(PLACE, &[samples, tokens], Element::U32),
            bias: graph.stored(BIAS, &[samples, tokens], Element::F32),
        })
    }
}

const ROWS: &str = "masked.rows";
const PLACE: &str = "masked.place";
const BIAS: &str = "masked.bias";

impl Policy for Masked {
    type Step = MaskedStep;

    fn name(&self) -> &str {
        self.policy.name()
    }

    fn label(&self) -> String {
        format!("{} under the mask", self.policy.label())
    }

    fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.policy.kept_ratios()
    }

    fn step(&self, at: StepAt) -> MaskedStep {
        MaskedStep { inner: self.policy.step(at), whole: at.index.is_multiple_of(self.compute.every) }
    }

    fn warning(&self, steps: &[&MaskedStep], tokens: usize) -> Option<Warning> {
        self.policy.warning(&steps.iter().map(|step| step.inner.clone()).collect::<Vec<_>>(), tokens)
    }

    fn saved(&self, step: &MaskedStep, tokens: usize, layers: usize) -> Option<f64> {
        let computed = match step.whole {
            true => 1.0,
            false => {
                self.tokens.len() as f64 / tokens.max(1) as f64
                    * (1.0 - step.inner.saved(tokens, layers).unwrap_or(0.0))
            }
        };
        Some(1.0 - computed)
    }

    fn tables(&self, run: RunAt) -> Result<Vec<(String, Tensor)>> {
        let (samples, tokens, count) = (run.samples, run.grid.tokens(), self.tokens.len());
        let mut place = vec![NOTHING; tokens];
        self.tokens.iter().enumerate().for_each(|(at, &token)| place[token as usize] = at as u32);
        let bias: Vec<f32> = place.iter().map(|&place| if place == NOTHING { NEVER } else { 0.0 }).collect();
        let mut tables = self.policy.tables(run)?;
        tables.push((ROWS.into(), Tensor::indices(&[samples, count, 1], self.tokens.repeat(samples))?));
        tables.push((PLACE.into(), Tensor::indices(&[samples, tokens], place.repeat(samples))?));
        tables.push((BIAS.into(), Tensor::new(&[samples, tokens], bias.repeat(samples))?));
        Ok(tables)
    }

    fn sees_modulated(&self, step: &MaskedStep) -> bool {
        step.inner.sees_modulated()
    }

    fn span(&self, step: &MaskedStep, layers: usize) -> Result<Span> {
        step.inner.span(layers)
    }

    fn block(&self, step: &MaskedStep, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        let (among, context) = match step.whole {
            true => (Among::All, Context::Kept),
            false => (Among::Marked(self.marked(graph, at)?), Context::Recalled),
        };
        Ok(BlockRows { context: Some(context), ..step.inner.block_among(graph, at, among)? })
    }
}

/// The tokens within `distance` of a marked one, across corners too; the first of all where none is marked.
fn around(grid: Grid, marked: &[bool], distance: usize) -> Vec<u32> {
    let near = near(Size::new(grid.columns, grid.rows), marked, distance);
    let tokens: Vec<u32> = (0u32..).zip(near).filter_map(|(at, near)| near.then_some(at)).collect();
    if tokens.is_empty() { vec![0] } else { tokens }
}

impl TryFrom<String> for MaskedCompute {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<MaskedCompute> for String {
    fn from(compute: MaskedCompute) -> Self {
        compute.to_string()
    }
}

/// `every=10,around=1,decode=1`, or the first number alone.
impl FromStr for MaskedCompute {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: String| Error::Usage(format!("masked compute of {text:?}: {why}"));
        let (mut compute, mut seen) = (Self::default(), Vec::new());
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or(("every", part));
            let number = || value.trim().parse().map_err(|_| refuse(format!("{value:?} is no whole number")));
            match key.trim() {
                key if seen.contains(&key) => return Err(refuse(format!("{key} is said twice"))),
                "every" => compute.every = number()?,
                "around" => compute.around = number()?,
                "decode" if value.trim() == "whole" => compute.decode = Decode::Whole,
                "decode" => compute.decode = Decode::Halo(number()?),
                other => return Err(refuse(format!("there is no {other:?}, only every, around and decode"))),
            }
            seen.push(key.trim());
        }
        match compute.every {
            0 => Err(refuse("the first step has to compute all tokens".into())),
            _ => Ok(compute),
        }
    }
}

impl fmt::Display for MaskedCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { every, around, decode } = self;
        write!(f, "every={every},around={around},decode=")?;
        match decode {
            Decode::Halo(pixels) => write!(f, "{pixels}"),
            Decode::Whole => f.write_str("whole"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{Compression, Dense, Policies, Trained};

    #[test]
    fn reads_what_it_prints() {
        let compute: MaskedCompute = "4".parse().unwrap();
        assert_eq!(compute, MaskedCompute { every: 4, ..MaskedCompute::default() });
        for (text, decode) in
            [("around=0, every=7, decode=3", Decode::Halo(3)), ("7,around=0,decode=whole", Decode::Whole)]
        {
            let compute: MaskedCompute = text.parse().unwrap();
            assert_eq!(compute, MaskedCompute { every: 7, around: 0, decode });
            assert_eq!(compute.to_string().parse::<MaskedCompute>().unwrap(), compute);
        }
        for (text, reason) in [
            ("0", "has to compute all tokens"),
            ("x", "no whole number"),
            ("2,wide=3", "\"wide\""),
            ("2,every=3", "every is said twice"),
            ("decode=part", "\"part\" is no whole number"),
            ("99999999999999999999", "no whole number"),
        ] {
            let error = text.parse::<MaskedCompute>().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn tokens_around_the_mask_are_computed_too() {
        let grid = Grid::new(3, 4);
        let mut marked = [false; 12];
        marked[7] = true; // row 1, the last column
        assert_eq!(around(grid, &marked, 0), [7]);
        assert_eq!(around(grid, &marked, 1), [2, 3, 6, 7, 10, 11]);
        assert_eq!(around(grid, &marked, usize::MAX).len(), 12);
        assert_eq!(around(grid, &[false; 12], 1), [0]);
    }

    #[test]
    fn tables_say_which_tokens_and_where() {
        let compute = MaskedCompute { every: 2, around: 0, ..MaskedCompute::default() };
        let marked = [false, true, false, true];
        let masked = Masked::new(AnyPolicy::new(Dense), compute, Grid::new(2, 2), &marked).unwrap();
        let tables = masked.tables(RunAt { grid: Grid::new(2, 2), samples: 2, layers: 1 }).unwrap();
        assert_eq!(tables[0].1, Tensor::indices(&[2, 2, 1], vec![1, 3, 1, 3]).unwrap());
        assert_eq!(tables[1].1.u32(), [NOTHING, 0, NOTHING, 1, NOTHING, 0, NOTHING, 1]);
        assert_eq!(tables[2].1.f32()[..4], [NEVER, 0.0, NEVER, 0.0]);
        let step = |index| masked.step(StepAt { index, of: 4, timestep: 0.0, tokens: 4 });
        assert_eq!([0, 1, 2].map(|index| step(index).whole), [true, false, true]);
        assert_eq!([0, 1].map(|index| masked.saved(&step(index), 4, 1)), [Some(0.0), Some(0.5)]);
    }

    #[test]
    fn policies_that_need_the_whole_grid_are_refused() {
        for name in ["sdtm", "tome", "kv"] {
            let policies = Policies::default();
            let policy = policies.policy(&Compression::policy(name), &Trained::default(), 0, false).unwrap();
            let error = Masked::new(policy, MaskedCompute::default(), Grid::new(2, 2), &[true; 4]).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(name), "{error}");
        }
    }
}
