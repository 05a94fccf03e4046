//! From a request to a picture: load a model folder, prepare what does not change, step, decode.

mod backbone;
mod class_to_image;
mod conditioning;
mod denoise;
mod folder;
mod kind;
mod picture;
mod request;
mod routing;
mod step_inputs;
mod text_to_image;
mod transformer;
mod viewer;

pub use backbone::{Backbone, PREDICTION, StepSize};
pub use class_to_image::ClassToImage;
pub use denoise::{GUIDED, LATENTS, Run, RunState, Step};
pub use folder::{LoadOptions, ModelFolder, Progress};
pub use kind::Kind;
pub use picture::Pictures;
pub use request::{Embeds, Ids, Request};
pub use routing::{LayerMerging, LayerRouting};
pub use text_to_image::TextToImage;
pub use transformer::Transformer;
pub use viewer::Viewer;

pub use crate::compress::Compress;

use std::sync::Arc;

use crate::Result;
use crate::compress::Routers;
use crate::device::Device;
use crate::weights::Source;

/// Whatever pipeline a model folder holds.
#[derive(Debug)]
pub enum Pipeline {
    /// `DiTPipeline`.
    ClassToImage(Box<ClassToImage>),
    /// `PixArtAlphaPipeline` and `PixArtSigmaPipeline`.
    TextToImage(Box<TextToImage>),
}

impl Pipeline {
    /// Loads the folder's pipeline by the class that `model_index.json` names.
    pub async fn load(
        gpu: impl Into<Device>,
        source: Source,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        Self::from_folder(gpu, &ModelFolder::open(source).await?, options, progress).await
    }

    /// Loads an opened folder.
    pub async fn from_folder(
        gpu: impl Into<Device>,
        folder: &ModelFolder,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let gpu = gpu.into();
        Ok(match folder.kind()? {
            Kind::ClassToImage => {
                Self::ClassToImage(ClassToImage::from_folder(gpu, folder, options, progress).await?.into())
            }
            Kind::TextToImage => {
                Self::TextToImage(TextToImage::from_folder(gpu, folder, options, progress).await?.into())
            }
        })
    }

    /// The routers of its checkpoint, or what it lacks of them.
    pub fn routers(&self) -> Result<&Routers, &str> {
        let routers = match self {
            Self::ClassToImage(pipeline) => pipeline.routers(),
            Self::TextToImage(pipeline) => pipeline.routers(),
        };
        routers.as_ref().map(Arc::as_ref).map_err(String::as_str)
    }

    /// Prepares a run; see [`Run`].
    pub async fn prepare(&self, request: &Request) -> Result<Run> {
        match self {
            Self::ClassToImage(pipeline) => pipeline.prepare(request).await,
            Self::TextToImage(pipeline) => pipeline.prepare(request).await,
        }
    }
}
