//! The models, each file reading like its paper: config, weights, forward. [`Families`] lists them all.

pub mod autoencoder_kl;
pub mod dit;
mod family;
pub mod parts;
pub mod pixart;
mod preparation;
mod room;
pub mod t5;

use std::sync::Arc;

pub use family::{
    Batch, Conditioner, Decoder, Denoiser, Draws, Encoder, Family, Habits, Noisy, Opening, Sizes, Transformer,
};
pub use preparation::{Canvas, Given, Preparation};
pub use room::{HOST_BYTES, Room};

use crate::loading::ModelFolder;
use crate::{Error, Result};

/// The families of models by their pipeline classes. A host can add its own.
#[derive(Clone, Debug)]
pub struct Families(Vec<Arc<dyn Family>>);

impl Default for Families {
    /// Those of this crate: one line each.
    fn default() -> Self {
        Self(vec![Arc::new(dit::DitFamily), Arc::new(pixart::PixArtFamily)])
    }
}

impl Families {
    /// Adds a family. It takes over pipeline classes that others have, too.
    pub fn add(&mut self, family: impl Family + 'static) {
        self.0.insert(0, Arc::new(family));
    }

    /// The family of a folder's pipeline.
    pub fn of(&self, folder: &ModelFolder) -> Result<Arc<dyn Family>> {
        let found = self.0.iter().find(|family| family.pipelines().contains(&folder.pipeline.as_str()));
        found.cloned().ok_or_else(|| {
            let known: Vec<_> = self.0.iter().flat_map(|family| family.pipelines()).copied().collect();
            let reason = format!("_class_name = {:?}: the pipelines here are {}", folder.pipeline, known.join(", "));
            Error::config(folder.source.display("model_index.json"), reason)
        })
    }
}
