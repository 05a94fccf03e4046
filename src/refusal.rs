//! Reasons as values: why a request cannot be met, and what is odd about one that can. The texts speak of the request.
//! Each face adds its own hint.

use crate::text::printable;
use crate::{Grid, Size};

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
    /// No class has this number.
    #[error("there is no class {label}: this model has 0 … {}", classes - 1)]
    NoSuchClass {
        /// The number.
        label: u32,
        /// The model's classes.
        classes: usize,
    },
    /// No token has this id.
    #[error("there is no token {id}: the text encoder knows 0 … {}", known - 1)]
    NoSuchToken {
        /// The id.
        id: u32,
        /// The text encoder's tokens.
        known: usize,
    },
    /// Token ids and masks of different lengths.
    #[error("token ids and masks must all have one length")]
    UnequalLengths,
    /// Guidance needs what stands for the negative prompt as well.
    #[error("guidance needs negative_{tensor} beside {tensor}")]
    NeedsNegative {
        /// What was given of the prompt: "input_ids".
        tensor: &'static str,
    },
    /// The prompt cannot be turned into ids of so many tokens.
    #[error("the prompt cannot be tokenised: {reason}")]
    Untokenisable {
        /// Why not.
        reason: String,
    },
    /// A tensor of the request does not have the shape that it needs.
    #[error("{tensor} {found:?}: expected {expected}")]
    WrongShape {
        /// The tensor.
        tensor: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that is needed, or what of it is known.
        expected: String,
    },
    /// A tensor of the request does not hold what it says: too few numbers, or some that are not finite or absurd.
    #[error("{tensor}: {reason}")]
    BadTensor {
        /// The tensor.
        tensor: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The guidance is infinite, or no number.
    #[error("the guidance is no number")]
    BadGuidance,
    /// The size of a picture does not divide into pixels of the latents.
    #[error("a size of {size} is not divisible by the VAE's factor {factor}")]
    IndivisibleSize {
        /// The size.
        size: Size,
        /// Pixels for each pixel of the latents, along each side.
        factor: usize,
    },
    /// The size of the latents does not divide into tokens.
    #[error("latents of {latents} are not divisible by the patch size {patch}")]
    IndivisibleLatents {
        /// The size of the latents.
        latents: Size,
        /// Pixels of the latents for each token, along each side.
        patch: usize,
    },
    /// No picture is asked for.
    #[error("a count of 0 asks for no picture")]
    NoPicture,
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
    /// The strength is no share of the noise.
    #[error("a strength of {strength} is not above 0 and at most 1")]
    BadStrength {
        /// The strength.
        strength: f64,
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
    /// A parameter of the policy is set twice.
    #[error("the policy {policy}: {name} is set twice")]
    SetTwice {
        /// The policy.
        policy: String,
        /// The parameter.
        name: String,
    },
    /// A parameter of the policy cannot have this value.
    #[error("the policy {policy}: {name} = {value}: {reason}")]
    BadParameter {
        /// The policy.
        policy: String,
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// So many tokens cannot be saved.
    #[error("a ratio of {ratio}: {reason}")]
    BadRatio {
        /// The share of the tokens to save.
        ratio: f64,
        /// Why not.
        reason: String,
    },
    /// The step cache cannot be.
    #[error("a step cache of {cache:?}: {reason}")]
    BadStepCache {
        /// The step cache, as a request has it.
        cache: String,
        /// Why not.
        reason: String,
    },
    /// The policy cannot work on the picture's tokens.
    #[error("the policy {policy}: a grid of {grid} tokens {reason}")]
    BadGrid {
        /// The policy.
        policy: &'static str,
        /// The token grid.
        grid: Grid,
        /// Why not: "has an odd side".
        reason: String,
    },
    /// What the policy asks of a layer excludes other things that it or the model asks of it.
    #[error("layer {layer}: {reason}")]
    Clash {
        /// The layer.
        layer: usize,
        /// What excludes what.
        reason: String,
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
    /// The scheduler cannot make so many steps.
    #[error("{scheduler} {}", steps_that_fit(*steps, *most))]
    BadSteps {
        /// The class of the scheduler.
        scheduler: String,
        /// Steps that were asked for.
        steps: usize,
        /// The most that it can make.
        most: usize,
    },
    /// With its config the scheduler cannot make these steps.
    #[error("{scheduler} {reason}")]
    NoSchedule {
        /// The class of the scheduler.
        scheduler: String,
        /// Why not.
        reason: String,
    },
    /// No adapter has such a name.
    #[error("no adapter is named {name:?}; there are: {}", known.join(", "))]
    UnknownAdapter {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A state to resume from is another's: of another request, or of another model, policy or scheduler.
    #[error("the state to resume from belongs to another request")]
    ForeignState,
}

fn steps_that_fit(steps: usize, most: usize) -> String {
    match steps {
        0 => "needs at least one step".into(),
        steps => format!("can make at most {most} steps, not {steps}"),
    }
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
