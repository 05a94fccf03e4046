//! Which of the pipelines here a folder holds, known before anything is loaded.

use super::{ModelFolder, Request};
use crate::{Error, Result};

/// diffusers' pipeline classes, and what they draw.
const PIPELINES: [(&str, Kind); 3] = [
    ("DiTPipeline", Kind::ClassToImage),
    ("PixArtAlphaPipeline", Kind::TextToImage),
    ("PixArtSigmaPipeline", Kind::TextToImage),
];

/// What a pipeline draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Classes by number.
    ClassToImage,
    /// Prompts.
    TextToImage,
}

impl ModelFolder {
    /// The kind of its pipeline; a class that is not implemented is an error.
    pub fn kind(&self) -> Result<Kind> {
        match PIPELINES.iter().find(|(class, _)| *class == self.pipeline) {
            Some((_, kind)) => Ok(*kind),
            None => {
                let known = PIPELINES.map(|(class, _)| class).join(", ");
                let reason = format!("_class_name = {:?}: the pipelines here are {known}", self.pipeline);
                Err(Error::config(self.source.display("model_index.json"), reason))
            }
        }
    }

    /// Tokens that a prompt is padded or cut to, where the request does not say.
    pub fn prompt_tokens(&self) -> usize {
        if self.pipeline == "PixArtAlphaPipeline" { 120 } else { 300 }
    }
}

impl Kind {
    /// Denoising steps where the request does not say: diffusers' defaults.
    pub fn steps(self) -> usize {
        match self {
            Self::ClassToImage => 50,
            Self::TextToImage => 20,
        }
    }

    /// Refuses a request that is meant for the other kind.
    pub fn check(self, request: &Request) -> Result<()> {
        let text = !request.prompt.is_empty() || request.prompt_ids.is_some() || request.prompt_embeds.is_some();
        let reason = match (self, request.class.is_some(), text) {
            (Self::ClassToImage, true, false) | (Self::TextToImage, false, _) => return Ok(()),
            (Self::ClassToImage, false, _) => "this model draws classes: give --class N, not a prompt",
            (Self::ClassToImage, true, true) => "this model draws classes and takes no prompt: give --class N alone",
            (Self::TextToImage, true, _) => "this model draws prompts: give a prompt, not --class",
        };
        Err(Error::Usage(reason.into()))
    }
}
