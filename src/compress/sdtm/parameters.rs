//! SDTM's parameters, as published.

use super::Sdtm;
use crate::Result;
use crate::compress::{AnyPolicy, Choice, Parameter, PolicyKind, Traces, Values};

static PARAMETERS: [Parameter; 11] = [
    Parameter {
        name: "ratio",
        default: "0.3",
        values: Values::Share,
        help: "the share of the tokens to merge away, about the middle of the steps",
    },
    Parameter {
        name: "deviation",
        default: "0.2",
        values: Values::Share,
        help: "the share falls from ratio + deviation to ratio − deviation",
    },
    Parameter {
        name: "switch_step",
        default: "20",
        values: Values::Count(0),
        help: "the last step that merges 2×2 windows, for attention and feed-forward; later steps merge single tokens, for the \
               feed-forward alone",
    },
    Parameter {
        name: "protect_every",
        default: "3",
        values: Values::Count(0),
        help: "steps whose number it divides run dense and keep their branches; 0: none",
    },
    Parameter {
        name: "cache_weight",
        default: "0.1",
        values: Values::Number(0.0, 1.0),
        help: "what a merged token takes of its own branch; the rest comes from the last protected step",
    },
    Parameter {
        name: "a_s",
        default: "0.05",
        values: Values::Number(0.0, 1e6),
        help: "the weight of age beside likeness, in the structure stage",
    },
    Parameter {
        name: "a_d",
        default: "0.05",
        values: Values::Number(0.0, 1e6),
        help: "the weight of age beside attention, in the detail stage",
    },
    Parameter {
        name: "a_p",
        default: "2",
        values: Values::Number(1e-6, 1e6),
        help: "prompt reweighting, in our reading; no effect in models whose text has an attention of its own",
    },
    Parameter {
        name: "attentiveness",
        default: "age",
        values: Values::Word(&["age", "attention"]),
        help: "what tokens merge into in the detail stage: the oldest, as in the authors' program, or (attention) those that \
               received most attention in the last protected step, our reading of the paper",
    },
    Parameter {
        name: "deterministic",
        default: "false",
        values: Values::Flag,
        help: "a window's destination is its first token, instead of one drawn by the seed",
    },
    Parameter {
        name: "multiple",
        default: "16",
        values: Values::Count(1),
        help: "windows, and single tokens, merge in multiples of it; 1 suits small grids",
    },
];

/// [`Sdtm`] in requests.
#[derive(Clone, Copy, Debug)]
pub struct SdtmKind;

impl PolicyKind for SdtmKind {
    fn name(&self) -> &str {
        "sdtm"
    }

    fn summary(&self) -> &str {
        "merging in two stages, structure and then detail (arXiv 2505.11707)"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &PARAMETERS
    }

    fn traces(&self) -> Traces {
        Traces::Merged
    }

    fn policy(&self, choice: Choice<'_>) -> Result<AnyPolicy> {
        Ok(AnyPolicy::new(Sdtm::new(choice)?))
    }
}

impl Sdtm {
    /// SDTM with these parameters.
    pub fn new(Choice { parameters, seed, traced, .. }: Choice<'_>) -> Result<Self> {
        // Checked, although no model here has text and picture under one softmax.
        parameters.number("a_p")?;
        Ok(Self {
            ratio: parameters.share("ratio")?,
            deviation: parameters.share("deviation")?,
            switch_step: parameters.count("switch_step")?,
            protect_every: parameters.count("protect_every")?,
            cache_weight: parameters.number("cache_weight")?,
            a_s: parameters.number("a_s")?,
            a_d: parameters.number("a_d")?,
            attention: parameters.word("attentiveness")? == "attention",
            deterministic: parameters.flag("deterministic")?,
            multiple: parameters.count("multiple")?,
            seed,
            traced,
        })
    }
}
