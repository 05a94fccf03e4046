//! From a request to a picture: load a model folder, prepare what does not change, step, decode.

mod class_to_image;
mod denoise;
mod folder;
mod picture;
mod request;
mod text_to_image;

pub use class_to_image::ClassToImage;
pub use denoise::{Run, Step};
pub use folder::{LoadOptions, ModelFolder, Progress};
pub use picture::Pictures;
pub use request::{Compress, Embeds, Ids, Request};
pub use text_to_image::TextToImage;

use crate::gpu::Gpu;
use crate::weights::Source;
use crate::{Error, Result};

/// Whatever pipeline a model folder holds.
#[derive(Debug)]
pub enum Pipeline {
    /// `DiTPipeline`.
    ClassToImage(ClassToImage),
    /// `PixArtAlphaPipeline` and `PixArtSigmaPipeline`.
    TextToImage(TextToImage),
}

impl Pipeline {
    /// Loads the folder's pipeline by the class that `model_index.json` names.
    pub async fn load(
        gpu: &Gpu,
        source: Source,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let folder = ModelFolder::open(source).await?;
        match folder.pipeline.as_str() {
            class_to_image::CLASS => {
                Ok(Self::ClassToImage(ClassToImage::from_folder(gpu, &folder, options, progress).await?))
            }
            class if text_to_image::CLASSES.contains(&class) => {
                Ok(Self::TextToImage(TextToImage::from_folder(gpu, &folder, options, progress).await?))
            }
            other => Err(Error::config(
                folder.source.display("model_index.json"),
                format!(
                    "_class_name = {other:?}: the pipelines here are {}, {}",
                    class_to_image::CLASS,
                    text_to_image::CLASSES.join(", ")
                ),
            )),
        }
    }

    /// Prepares a run; see [`Run`].
    pub async fn prepare(&self, request: &Request) -> Result<Run> {
        match self {
            Self::ClassToImage(pipeline) => pipeline.prepare(request).await,
            Self::TextToImage(pipeline) => pipeline.prepare(request).await,
        }
    }
}
