//! An opened model folder: every part known by the names and shapes of its tensors, none loaded yet. What `inspect`
//! reports and what a pipeline is loaded from.

use std::sync::Arc;

use super::{LoadOptions, Progress, Registry};
use crate::compress::Trained;
use crate::device::{Device, Store};
use crate::loading::{Answer, Loader, ModelFolder};
use crate::models::{Conditioner, Decoder, Denoiser, Family, Habits, Opening, Transformer};
use crate::schedulers::Scheduler;
use crate::weights::Source;
use crate::{Context, Result};

/// A model folder, and what its names mean.
#[derive(Clone, Debug)]
pub struct Model {
    /// The folder.
    pub folder: ModelFolder,
    /// The family that its pipeline class belongs to.
    pub family: Arc<dyn Family>,
    /// How it is loaded.
    pub options: LoadOptions,
}

/// All parts of a model.
#[derive(Debug)]
pub struct Parts {
    /// Predicts.
    pub denoiser: Box<dyn Denoiser>,
    /// What the checkpoint holds for policies.
    pub trained: Trained,
    /// Turns requests into conditioning.
    pub conditioner: Box<dyn Conditioner>,
    /// Turns latents into pictures.
    pub decoder: Arc<dyn Decoder>,
    /// Load the tensors, component by component.
    pub loaders: Vec<Loader>,
}

impl Model {
    /// Reads `model_index.json`. A pipeline class that no family covers is an error.
    pub async fn open(source: Source, options: LoadOptions) -> Result<Self> {
        let folder = ModelFolder::open(source).await?;
        let family = options.registry.families.of(&folder)?;
        Ok(Self { folder, family, options })
    }

    /// How its pipeline draws where a request does not say.
    pub fn habits(&self) -> Habits {
        self.family.habits(&self.folder.pipeline)
    }

    /// What names mean.
    pub fn registry(&self) -> &Registry {
        &self.options.registry
    }

    /// The scheduler that the folder names, or `name` over the folder's config.
    pub async fn scheduler(&self, name: Option<&str>) -> Result<Box<dyn Scheduler>> {
        let path = "scheduler/scheduler_config.json";
        let source = &self.folder.source;
        self.registry().schedulers.read(&source.display(path), &source.read_config(path).await?, name)
    }

    /// The transformer alone.
    pub async fn transformer(&self) -> Result<Transformer> {
        self.family.transformer(self.opening()).await
    }

    /// Opens every part. No tensor is loaded yet.
    pub async fn parts(&self) -> Result<Parts> {
        let opening = self.opening();
        let (conditioner, text_loaders) = self.family.conditioner(opening).await?;
        let Transformer { denoiser, trained, loader } = self.family.transformer(opening).await?;
        let (decoder, vae_loader) = self.family.decoder(opening).await?;
        let mut loaders = vec![loader, vae_loader];
        loaders.extend(text_loaders);
        Ok(Parts { denoiser, trained, conditioner, decoder, loaders })
    }

    fn opening(&self) -> Opening<'_> {
        Opening { folder: &self.folder, dtype: self.options.dtype, policies: &self.registry().policies }
    }
}

/// Loads the components' tensors, one component after the other.
pub async fn upload<A: Answer>(
    device: &Device,
    loaders: &[Loader],
    mut progress: impl FnMut(Progress<'_>) -> A,
) -> Result<Store> {
    let mut store = Store::new();
    for loader in loaders {
        loader.allocate(device, &mut store).await.context(|| format!("making room for the {}", loader.component()))?;
    }
    for loader in loaders {
        let component = loader.component();
        let report = |done, total| progress(Progress { component, done, total }).answer();
        loader.upload(device, &store, report).await.context(|| format!("loading the {component}"))?;
    }
    Ok(store)
}
