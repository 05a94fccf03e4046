//! Reasons as values: why a request cannot be met, and what is odd about one that can. The texts speak of the request.
//! Each face adds its own hint.

use crate::Size;
use crate::text::printable;

/// Why a request cannot be met.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A model that draws classes was asked without one.
    #[error("this model draws classes, and the request names none")]
    NeedsClass,
    /// A model that draws classes was given a prompt.
    #[error("this model draws classes and takes no prompt")]
    TakesNoPrompt,
    /// A model that draws prompts was given a class.
    #[error("this model draws prompts and takes no class")]
    TakesNoClass,
    /// A prompt cannot be turned into ids.
    #[error("this model folder has no tokenizer")]
    NoTokenizer,
    /// Ids cannot be turned into embeddings.
    #[error("this model folder has no text encoder")]
    NoTextEncoder,
    /// Guidance needs the label that stands for "no class".
    #[error("guidance needs label {label}, this model has {classes} classes")]
    NoNullClass {
        /// That label.
        label: u32,
        /// The model's classes.
        classes: usize,
    },
    /// A mask or a strength says what to do with a picture that is not there.
    #[error("{what} needs the picture that it is about")]
    NeedsImage {
        /// "a mask".
        what: &'static str,
    },
    /// The model was trained to fill in pictures, and nothing says which part of which.
    #[error("this model fills in masked parts of pictures, and the request has no picture with a mask")]
    NeedsMask,
    /// A picture or a mask is of another size than what it belongs to.
    #[error("{what} has {given} pixels, and {wanted} are needed")]
    OtherSize {
        /// "the mask".
        what: &'static str,
        /// Its size.
        given: Size,
        /// The size that it should have.
        wanted: Size,
    },
    /// So little of the noise is asked for that nothing would be computed.
    #[error("a strength of {strength} leaves none of {steps} steps: a larger one or more steps are needed")]
    NoStepLeft {
        /// The strength.
        strength: f64,
        /// The steps.
        steps: usize,
    },
    /// The policy cannot choose among the tokens under a mask.
    #[error("the policy {policy} needs all tokens, and masked compute computes those under the mask")]
    NotMasked {
        /// The policy.
        policy: String,
    },
    /// Masked compute leaves out what is known, and nothing is.
    #[error("masked compute needs a picture with a mask")]
    NothingMasked,
    /// The scheduler does not say how a picture is noised.
    #[error("{scheduler} cannot begin with a picture: it has no levels of noise")]
    NoLevels {
        /// Its class.
        scheduler: String,
    },
    /// More is asked for than any run may take.
    #[error("{what} is too large: at most {most} {unit}")]
    TooLarge {
        /// What is asked for, with its size.
        what: String,
        /// The most that there may be.
        most: u64,
        /// Of what: "pictures are drawn as one batch".
        unit: &'static str,
    },
    /// No policy has this name.
    #[error("no policy {name:?}: there are {}", known.join(", "))]
    UnknownPolicy {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The policy has no such parameter.
    #[error("the policy {policy} has no parameter {name:?}: {}", parameters(known))]
    UnknownParameter {
        /// The policy.
        policy: String,
        /// The parameter.
        name: String,
        /// The parameters that it has.
        known: Vec<String>,
    },
    /// The policy has no ratio.
    #[error("the policy {policy} {why}, it has no ratio")]
    NoRatio {
        /// The policy.
        policy: String,
        /// What it does instead.
        why: String,
    },
    /// The policy needs a model that was trained for it.
    #[error("this model cannot run {policy}: {lacking}")]
    Untrained {
        /// The policy.
        policy: String,
        /// What the model lacks.
        lacking: String,
    },
    /// No scheduler has this name.
    #[error("no scheduler {name:?}: there are {}", known.join(", "))]
    UnknownScheduler {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
}

fn parameters(known: &[String]) -> String {
    match known {
        [] => "it has none".into(),
        known => format!("its parameters are {}", known.join(", ")),
    }
}

/// What a caller should know about a run, though it is no error.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The end of a prompt was cut off.
    #[error("the prompt is longer than {most} tokens; this was cut off: {:?}", printable(cut))]
    PromptCut {
        /// The most tokens of a prompt.
        most: usize,
        /// What was cut off.
        cut: String,
    },
    /// What a policy of another crate has to say.
    #[error("the policy {policy}: {reason}")]
    Policy {
        /// The policy.
        policy: String,
        /// What it has to say.
        reason: String,
    },
    /// A merging policy merges nothing.
    #[error("sdtm merges nothing: {}", nothing(*tokens, *multiple))]
    NothingMerges {
        /// Tokens of the picture.
        tokens: usize,
        /// What merges come in multiples of, where that leaves none. None: no step was to merge any.
        multiple: Option<usize>,
    },
}

fn nothing(tokens: usize, multiple: Option<usize>) -> String {
    match multiple {
        None => "every step is protected, or its share is 0".into(),
        Some(multiple) => format!("no step has {multiple} windows or tokens of {tokens} to merge"),
    }
}
