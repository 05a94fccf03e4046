//! The transformer of either pipeline without the rest of it: one step as a graph, and random inputs to run it on. Steps
//! are counted and timed so.

use std::sync::Arc;

use super::conditioning::{self, Encoded};
use super::denoise::LATENTS;
use super::folder::{LoadOptions, ModelFolder, Progress, upload};
use super::kind::Kind;
use super::step_inputs::STEP;
use super::transformer::Transformer;
use super::{ClassToImage, TextToImage};
use crate::compress::{Routers, StepPolicy};
use crate::device::{Device, Store};
use crate::graph::{Element, Graph};
use crate::kernels::step_row;
use crate::models::Loader;
use crate::models::dit::DiT;
use crate::models::patch_embed::{Noisy, PatchEmbed};
use crate::models::pixart::{PixArt, Text};
use crate::rng::Generator;
use crate::{Result, Tensor};

/// Stored: the model's output of the last step, `[B, Cout, H, W]`.
pub const PREDICTION: &str = "prediction";
const EMBEDS: &str = "prompt_embeds";

/// A transformer by the names and shapes of its tensors, of which none is loaded yet.
#[derive(Debug)]
pub struct Backbone {
    model: Model,
    /// What it brings for routing, or what the checkpoint lacks of it.
    pub routers: Result<Arc<Routers>, String>,
    loader: Loader,
}

#[derive(Debug)]
enum Model {
    DiT(Box<DiT>),
    PixArt(Box<PixArt>),
}

/// The size of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepSize {
    /// Samples B, all of the same latents: 2 under guidance.
    pub batch: usize,
    /// Height and width of the latents.
    pub latent: [usize; 2],
    /// Tokens of the text, where there is text.
    pub text: usize,
}

impl Backbone {
    /// The transformer of a folder.
    pub async fn open(folder: &ModelFolder, options: LoadOptions) -> Result<Self> {
        Ok(match folder.kind()? {
            Kind::ClassToImage => {
                let (Transformer { model, routers }, loader) = ClassToImage::transformer(folder, options).await?;
                Self { model: Model::DiT(model.into()), routers, loader }
            }
            Kind::TextToImage => {
                let (Transformer { model, routers }, loader) = TextToImage::transformer(folder, options).await?;
                Self { model: Model::PixArt(model.into()), routers, loader }
            }
        })
    }

    /// Number of blocks.
    pub fn layers(&self) -> usize {
        match &self.model {
            Model::DiT(model) => model.config.layers,
            Model::PixArt(model) => model.config.layers,
        }
    }

    /// The residual stream's width, and heads of every attention.
    pub fn width_and_heads(&self) -> [usize; 2] {
        let block = match &self.model {
            Model::DiT(model) => &model.config.block,
            Model::PixArt(model) => &model.config.block,
        };
        [block.width(), block.heads]
    }

    /// The trained latent's side.
    pub fn sample_size(&self) -> usize {
        match &self.model {
            Model::DiT(model) => model.config.sample_size,
            Model::PixArt(model) => model.config.sample_size,
        }
    }

    /// Token rows and columns of a latent of this height and width.
    pub fn grid(&self, latent: [usize; 2]) -> Result<[usize; 2]> {
        self.patch_embed().grid(latent)
    }

    /// One step, whose output is kept as [`PREDICTION`].
    pub fn step(&self, size: StepSize, policy: StepPolicy<'_>) -> Result<Graph> {
        let StepSize { batch, latent, text: length } = size;
        let mut graph = Graph::new();
        let latents = graph.stored(LATENTS, &self.latents(latent), Element::F32);
        let step = graph.stored(STEP, &[step_row::LEN], Element::F32);
        let noisy = Noisy { latents, step, batch };
        let output = match &self.model {
            Model::DiT(model) => model.forward(&mut graph, noisy, policy)?,
            Model::PixArt(model) => model.forward(&mut graph, noisy, Text { batch, length }, policy)?,
        };
        graph.keep(output, PREDICTION);
        Ok(graph)
    }

    /// Its weights on the GPU.
    pub async fn load(&self, gpu: &Device, progress: impl FnMut(Progress<'_>)) -> Result<Store> {
        upload(gpu, &[("transformer", &self.loader)], progress).await
    }

    /// Stores random inputs for steps of this size, in the middle of the timesteps: noise, and classes from the first on
    /// or random text.
    pub async fn insert_inputs(&self, gpu: &Device, store: &mut Store, size: StepSize) -> Result<()> {
        let StepSize { batch, latent, text: length } = size;
        let mut generator = Generator::manual_seed(0);
        let mut noise = |shape: &[usize]| Tensor::new(shape, generator.randn(shape.iter().product()));
        let mut row = [0.0; step_row::LEN];
        (row[step_row::TIMESTEP], row[step_row::INPUT_SCALE]) = (500.0, 1.0);
        store.insert(gpu, STEP, &Tensor::new(&[row.len()], row.to_vec())?).await?;
        store.insert(gpu, LATENTS, &noise(&self.latents(latent))?).await?;
        let grid = self.grid(latent)?;
        match &self.model {
            Model::DiT(model) => {
                let labels: Vec<u32> = (0..batch).map(|sample| (sample % model.config.classes) as u32).collect();
                conditioning::classes(gpu, store, model, grid, &labels).await
            }
            Model::PixArt(model) => {
                let shape = [batch, length, model.config.text_width()];
                store.insert(gpu, EMBEDS, &noise(&shape)?).await?;
                let mut graph = Graph::new();
                let embeds = graph.stored(EMBEDS, &shape, Element::F32);
                let bias = Tensor::new(&[batch, length], vec![0.0; batch * length])?;
                // Which size the model is told changes no cost.
                conditioning::text(gpu, store, model, grid, latent, Encoded { graph, embeds, bias }).await
            }
        }
    }

    fn patch_embed(&self) -> &PatchEmbed {
        match &self.model {
            Model::DiT(model) => &model.patch_embed,
            Model::PixArt(model) => &model.patch_embed,
        }
    }

    /// Shape of the latents, which all samples of the batch share.
    fn latents(&self, [height, width]: [usize; 2]) -> [usize; 4] {
        let channels = match &self.model {
            Model::DiT(model) => model.config.in_channels,
            Model::PixArt(model) => model.config.in_channels,
        };
        [1, channels, height, width]
    }
}
