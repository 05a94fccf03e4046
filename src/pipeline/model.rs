//! An opened model folder: every part known by the names and shapes of its tensors, none loaded yet. What `inspect`
//! reports and what a pipeline is loaded from.

use std::sync::Arc;

use super::task::Task;
use super::{LoadOptions, Progress, Registry};
use crate::compress::Trained;
use crate::device::{Device, Store};
use crate::loading::{Answer, Loader, ModelFolder};
use crate::models::{Conditioner, Decoder, Denoiser, Encoder, Family, Habits, Opening, Transformer};
use crate::schedulers::{Schedule, Scheduler};
use crate::weights::Source;
use crate::{Context, Refusal, Request, Result, Size};

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

impl Parts {
    /// See [`Pipeline::canvas_for`](super::Pipeline::canvas_for).
    pub fn canvas_for(&self, picture: Size) -> Result<Size> {
        canvas_for(self.denoiser.as_ref(), self.decoder.as_ref(), picture)
    }

    /// Refuses a request that the model cannot draw, as far as that can be known before any weight is read.
    pub fn check(&self, request: &Request, habits: Habits) -> Result<()> {
        request.check()?;
        habits.draws.check(request)?;
        Task::of(request, self.denoiser.sizes().channels, self.decoder.channels())?;
        let guided = habits.guidance_of(request).is_some();
        self.denoiser.check(request, guided)?;
        self.conditioner.check(request, guided)
    }
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

    /// The table of a run's steps from noise: as many as asked for, or as the pipeline's habit is.
    pub fn schedule(&self, scheduler: &dyn Scheduler, steps: Option<usize>) -> Result<Schedule> {
        let steps = steps.unwrap_or(self.habits().steps);
        self.family.schedule(&self.folder.pipeline, scheduler, steps)?.checked(scheduler.class())
    }

    /// The table of a request's steps. One that begins with a picture takes the scheduler as it is: the habits of a
    /// pipeline that draws from noise are not its own.
    pub(super) fn schedule_of(&self, request: &Request, task: Task, scheduler: &dyn Scheduler) -> Result<Schedule> {
        if task == Task::Draw {
            return self.schedule(scheduler, request.steps);
        }
        let steps = request.steps.unwrap_or(self.habits().steps);
        let schedule = scheduler.schedule_from(steps, task.skipped(request, steps)?)?.checked(scheduler.class())?;
        match schedule.levels.len() == schedule.steps.len() {
            true => Ok(schedule),
            false => Err(Refusal::NoLevels { scheduler: scheduler.class().into() }.into()),
        }
    }

    /// The size of the latents of pictures of so many pixels.
    pub async fn latents(&self, pixels: Size) -> Result<Size> {
        let (decoder, _) = self.family.decoder(self.opening()).await?;
        decoder.latents(pixels)
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

    /// Opens the encoder of pictures, which drawing from noise does without.
    pub async fn encoder(&self) -> Result<(Box<dyn Encoder>, Loader)> {
        self.family.encoder(self.opening()).await
    }

    fn opening(&self) -> Opening<'_> {
        Opening { folder: &self.folder, dtype: self.options.dtype, policies: &self.registry().policies }
    }
}

/// The size at which a model draws a picture of the given size.
pub(super) fn canvas_for(denoiser: &dyn Denoiser, decoder: &dyn Decoder, picture: Size) -> Result<Size> {
    let (side, factor) = (denoiser.sizes().sample_size, decoder.factor());
    let token = factor * (side / denoiser.grid(Size::square(side))?.rows.max(1));
    let (area, trained) = (picture.width as f64 * picture.height as f64, ((side * factor) as f64).powi(2));
    let scale = (trained / area.max(1.0)).sqrt().min(1.0);
    let along = |pixels: usize| ((pixels as f64 * scale / token as f64).round() as usize).max(1) * token;
    Ok(Size::new(along(picture.width), along(picture.height)))
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
