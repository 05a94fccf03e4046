//! Class-conditional pictures (diffusers `DiTPipeline`).

use std::sync::Arc;

use super::Pictures;
use super::conditioning;
use super::denoise::{Latents, Run, Start};
use super::folder::{LoadOptions, ModelFolder, Progress, upload};
use super::kind::Kind;
use super::request::Request;
use super::transformer::{Class, Transformer};
use crate::compress::Routers;
use crate::device::{Device, Store};
use crate::kernels::Guidance;
use crate::models::Loader;
use crate::models::autoencoder_kl::AutoencoderKl;
use crate::models::dit::{Config, DiT};
use crate::rng::Generator;
use crate::weights::Source;
use crate::{Error, Result};

/// The label that stands for "no class" in diffusers' pipeline, whatever the number of classes.
const NULL_LABEL: u32 = 1000;

/// A loaded class-to-image model.
#[derive(Debug)]
pub struct ClassToImage {
    gpu: Device,
    folder: ModelFolder,
    store: Store,
    transformer: DiT,
    routers: Result<Arc<Routers>, String>,
    vae: Arc<AutoencoderKl>,
}

impl ClassToImage {
    /// Loads a folder whose pipeline is `DiTPipeline`.
    pub async fn load(
        gpu: impl Into<Device>,
        source: Source,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        Self::from_folder(gpu, &ModelFolder::open(source).await?, options, progress).await
    }

    pub(super) async fn from_folder(
        gpu: impl Into<Device>,
        folder: &ModelFolder,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let gpu = &gpu.into();
        folder.scheduler(None).await?;
        let (Transformer { model: transformer, routers }, transformer_loader) =
            Self::transformer(folder, options).await?;
        let (vae, vae_loader) = folder.vae().await?;
        let loaders = [("transformer", &transformer_loader), ("vae", &vae_loader)];
        let store = upload(gpu, &loaders, progress).await?;
        Ok(Self { gpu: gpu.clone(), folder: folder.clone(), store, transformer, routers, vae: Arc::new(vae) })
    }

    /// The transformer, its routers, and what they would load.
    pub async fn transformer(folder: &ModelFolder, options: LoadOptions) -> Result<(Transformer<DiT>, Loader)> {
        let sizes = |config: &Config| [config.layers, config.block.width()];
        Class { read: Config::read, sizes, load: DiT::load }.open(folder, options).await
    }

    /// As [`Self::prepare`], blocking: for native callers outside an executor.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn start(&self, request: &Request) -> Result<Run> {
        pollster::block_on(self.prepare(request))
    }

    /// The pictures of a request, all steps at once.
    pub async fn generate(&self, request: &Request) -> Result<Pictures> {
        self.prepare(request).await?.complete().await
    }

    pub(super) fn routers(&self) -> &Result<Arc<Routers>, String> {
        &self.routers
    }

    /// Prepares a run.
    pub async fn prepare(&self, request: &Request) -> Result<Run> {
        Kind::ClassToImage.check(request)?;
        let policy = request.choice().policy(&self.routers)?;
        let config = &self.transformer.config;
        let class = request.class.unwrap_or_default();
        if class as usize > config.classes {
            let reason = format!("there is no class {class}: this model has 0 … {}", config.classes - 1);
            return Err(Error::Usage(reason));
        }
        let guidance = Some(request.guidance.unwrap_or(4.0)).filter(|&scale| scale > 1.0);
        if guidance.is_some() && (NULL_LABEL as usize) > config.classes {
            let reason = format!(
                "guidance needs label {NULL_LABEL}, this model has {} classes: give --guidance 1",
                config.classes
            );
            return Err(Error::Usage(reason));
        }
        let scheduler = self.folder.scheduler(request.scheduler.as_deref()).await?;
        // diffusers' DiTPipeline neither scales its first noise by the initial sigma, nor steps from the unscaled sample.
        // Only Euler tells the difference; its pictures come out as diffusers' do.
        let schedule = scheduler.schedule(request.steps.unwrap_or(Kind::ClassToImage.steps()))?.from_scaled_input();

        let mut generator = Generator::manual_seed(request.seed);
        let factor = self.vae.config.scale_factor();
        let latent = request.latent_size(config.sample_size, factor)?;
        let grid = self.transformer.patch_embed.grid(latent)?;
        let start = request.noise(&mut generator, config.in_channels, latent, 1.0)?;
        let count = start.shape[0];

        let mut store = self.store.clone();
        let mut labels = vec![class; count];
        if guidance.is_some() {
            labels.resize(2 * count, NULL_LABEL);
        }
        conditioning::classes(&self.gpu, &mut store, &self.transformer, grid, &labels).await?;

        let draws_per_sample = if guidance.is_some() { 2 } else { 1 };
        let latents = Latents { start, generator, draws_per_sample };
        let (gpu, vae, order) = (&self.gpu, self.vae.clone(), Guidance::CondFirst);
        let tokens = grid[0] * grid[1];
        let start = Start { gpu, store, vae, schedule, guidance, order, latents, tokens };
        Run::new(start, policy.as_ref(), |graph, noisy, policy| self.transformer.forward(graph, noisy, policy)).await
    }
}
