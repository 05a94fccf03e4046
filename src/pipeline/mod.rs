//! From a request to a picture: load a model folder, prepare what no step changes, step, decode.

mod beginning;
mod compile;
mod model;
mod names;
mod picture;
mod registry;
mod run;
mod state;
mod step_inputs;
mod task;
mod trace;
mod transformer_steps;
mod viewer;

use std::sync::Arc;

pub use model::{Model, Parts};
pub use names::{GUIDED, LATENTS};
pub use picture::Pictures;
pub use registry::{LoadOptions, Progress, Registry};
pub use run::{Run, Step};
pub use state::RunState;
pub use trace::{LayerTrace, Traced};
pub use transformer_steps::{PREDICTION, StepSize, TransformerSteps};
pub use viewer::Viewer;

use crate::compress::{AnyPolicy, Masked, Trained};
use crate::device::{Device, Memory, Plan, Store};
use crate::loading::Answer;
use crate::models::{Batch, Canvas, Conditioner, Decoder, Denoiser, Habits, Preparation, Room};
use crate::request::check_pixels;
use crate::rng::Generator;
use crate::schedulers::Schedule;
use crate::weights::Source;
use crate::{Error, Refusal, Request, Result, Size};
use compile::Start;
use task::Task;

/// A loaded model, of whatever family: from requests to pictures.
#[derive(Debug)]
pub struct Pipeline {
    device: Device,
    model: Model,
    store: Store,
    conditioner: Box<dyn Conditioner>,
    denoiser: Box<dyn Denoiser>,
    trained: Trained,
    decoder: Arc<dyn Decoder>,
}

impl Pipeline {
    /// Loads a model folder onto a device. `progress` receives how far it is; where it returns an error, loading ends
    /// with that.
    pub async fn load<A: Answer>(
        device: impl Into<Device>,
        source: Source,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>) -> A,
    ) -> Result<Self> {
        Self::from_model(device, Model::open(source, options).await?, progress).await
    }

    /// Loads an opened folder.
    pub async fn from_model<A: Answer>(
        device: impl Into<Device>,
        model: Model,
        progress: impl FnMut(Progress<'_>) -> A,
    ) -> Result<Self> {
        let device = device.into();
        model.scheduler(None).await?; // found wrong before anything is loaded
        let Parts { denoiser, trained, conditioner, decoder, loaders } = model.parts().await?;
        let store = model::upload(&device, &loaders, progress).await?;
        Ok(Self { device, model, store, conditioner, denoiser, trained, decoder })
    }

    /// The device that it is loaded on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The folder that it was loaded from.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How it draws where a request does not say.
    pub fn habits(&self) -> Habits {
        self.model.habits()
    }

    /// What its checkpoint holds for compression policies.
    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// The names of the policies that it can run.
    pub fn policies(&self) -> Vec<&str> {
        self.model.registry().policies.runnable(&self.trained).map(|kind| kind.name()).collect()
    }

    /// The size at which it draws a picture of the given size: its own where the model's tokens divide it and it is no
    /// larger than what the model was trained at, else the nearest of about that ratio and area.
    pub fn canvas_for(&self, picture: Size) -> Result<Size> {
        let (side, factor) = (self.denoiser.sizes().sample_size, self.decoder.factor());
        let token = factor * (side / self.denoiser.grid(Size::square(side))?.rows.max(1));
        let (area, trained) = ((picture.width * picture.height) as f64, ((side * factor) as f64).powi(2));
        let scale = (trained / area.max(1.0)).sqrt().min(1.0);
        let along = |pixels: usize| ((pixels as f64 * scale / token as f64).round() as usize).max(1) * token;
        Ok(Size::new(along(picture.width), along(picture.height)))
    }

    /// The pictures of a request, all steps at once.
    pub async fn generate(&self, request: &Request) -> Result<Pictures> {
        self.prepare(request).await?.complete().await
    }

    /// As [`Pipeline::prepare`], blocking: for native callers outside an executor.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn start(&self, request: &Request) -> Result<Run> {
        pollster::block_on(self.prepare(request))
    }

    /// Prepares a run: computes once what no step changes, such as the encoded text, and compiles every step.
    ///
    /// What the request asks for is held against what the device and this computer can hold before anything is
    /// computed.
    pub async fn prepare(&self, request: &Request) -> Result<Run> {
        request.check()?;
        self.device.check()?;
        let habits = self.habits();
        habits.draws.check(request)?;
        let policies = &self.model.registry().policies;
        let policy = policies.policy(&request.compression, &self.trained, request.seed, request.traced)?;
        let guidance = Some(request.guidance.unwrap_or(habits.guidance)).filter(|&scale| scale > 1.0);
        let scheduler = self.model.scheduler(request.scheduler.as_deref()).await?;
        let (pipeline, steps) = (&self.model.folder.pipeline, request.steps.unwrap_or(habits.steps));
        let task = Task::of(request, self.denoiser.sizes().channels, self.decoder.channels())?;
        let schedule = match task {
            Task::Draw => self.model.family.schedule(pipeline, scheduler.as_ref(), steps)?,
            _ => scheduler.schedule_from(steps, task.skipped(request, steps)?)?,
        };
        let schedule = schedule.checked(scheduler.class())?;
        if task != Task::Draw && schedule.levels.len() != schedule.steps.len() {
            return Err(Refusal::NoLevels { scheduler: scheduler.class().into() }.into());
        }

        let canvas = self.canvas(request)?;
        let shape = self.latents(request, canvas.latents)?;
        let policy = masked(policy, request, canvas)?;
        let batch = Batch { pictures: shape[0], guided: guidance.is_some() };
        let room = self.room(shape, batch, canvas, &schedule)?;
        let (preparation, mut warnings) = self.condition(request, batch, canvas, room).await?;

        let steps = policy.steps(&schedule.timesteps(), canvas.grid.tokens());
        warnings.extend(policy.warning(&steps.distinct, canvas.grid.tokens()));
        let mut start = Start {
            device: &self.device,
            denoiser: self.denoiser.as_ref(),
            decoder: self.decoder.clone(),
            store: self.store.clone(),
            given: preparation.given(),
            task,
            schedule,
            scheduler: scheduler.class(),
            policy,
            steps,
            shape,
            generator: Generator::manual_seed(request.seed),
            guidance,
            habits,
            canvas,
            warnings,
        };
        let graphs = start.graphs()?;
        preparation.graph.check(self.device.caps())?;
        // Nothing was allocated or computed on the device up to here.
        let beginning = self.beginning(request, task, shape, &start.schedule, &mut start.generator).await?;
        run_once(&self.device, &mut start.store, &preparation).await?;
        start.compile(graphs, beginning).await
    }

    /// The conditioning, and what the denoiser computes from it once: both still to be run.
    async fn condition(
        &self,
        request: &Request,
        batch: Batch,
        canvas: Canvas,
        room: Room,
    ) -> Result<(Preparation, Vec<crate::Warning>)> {
        let mut preparation = Preparation::within(room);
        let warnings = self.conditioner.condition(request, batch, &mut preparation).await?;
        self.denoiser.prepare(&mut preparation, canvas).await?;
        Ok((preparation, warnings))
    }

    /// What is left of the room for a run when everything that follows from its sizes alone has its place.
    fn room(&self, latents: [usize; 4], batch: Batch, canvas: Canvas, schedule: &Schedule) -> Result<Room> {
        let [count, channels, height, width] = latents;
        let samples = if batch.guided { 2 * count } else { count };
        let mut room = Room::on(self.device.caps());
        room.tensor("the latents", &latents)?;
        room.tensor("the noise of every step", &[schedule.draws_noise(), count, channels, height, width])?;
        room.buffer("the tokens", &[samples, canvas.grid.tokens(), self.denoiser.sizes().width])?;
        room.host("the pictures", &[count, 3, canvas.pixels.height, canvas.pixels.width])?;
        Ok(room)
    }

    /// The sizes of the picture: as asked for, as the given latents have it, or as trained.
    fn canvas(&self, request: &Request) -> Result<Canvas> {
        let factor = self.decoder.factor();
        let given = request.init_latents.as_ref().or(request.image_latents.as_ref());
        let given = given.map(|latents| latents.shape.as_slice());
        let pictured = request.image.as_ref().map(|image| Size::new(image.shape[2], image.shape[1]));
        let mut origin = "a size";
        let latents = match (request.size.or(pictured), given) {
            (None, None) => {
                origin = "the model's own size";
                Size::square(self.denoiser.sizes().sample_size)
            }
            (None, Some(&[_, _, height, width])) => Size::new(width, height),
            (None, Some(shape)) => {
                return Err(Error::Usage(format!("latents {shape:?} should be [batch, channels, height, width]")));
            }
            (Some(size), _) => size.divided(factor).ok_or_else(|| {
                Error::Usage(format!("a size of {size} is not divisible by the VAE's factor {factor}"))
            })?,
        };
        let pixels = latents.times(factor);
        if let Some(given) = pictured.filter(|given| *given != pixels) {
            return Err(Refusal::OtherSize { what: "the picture", given, wanted: pixels }.into());
        }
        check_pixels(origin, pixels, request.pictures())?;
        Ok(Canvas { pixels, latents, grid: self.denoiser.grid(latents)? })
    }

    /// Channels of the latents: those that the model sees, but for a model that sees masks beside them.
    fn channels(&self) -> usize {
        let (inputs, latents) = (self.denoiser.sizes().channels, self.decoder.channels());
        if inputs == 2 * latents + 1 { latents } else { inputs }
    }

    /// The shape of the latents `[L, C, h, w]`, which those of the request must have.
    fn latents(&self, request: &Request, latents: Size) -> Result<[usize; 4]> {
        let shape = [request.pictures(), self.channels(), latents.height, latents.width];
        let mut image = shape;
        image[0] = 1;
        for (given, needed) in [(&request.init_latents, shape), (&request.image_latents, image)] {
            if let Some(given) = given.as_ref().filter(|given| given.shape != needed) {
                let reason = format!("the latents given are {:?}, this request needs {needed:?}", given.shape);
                return Err(Error::Usage(reason));
            }
        }
        Ok(shape)
    }
}

/// The policy among the tokens under the request's mask, where it asks for that.
fn masked(policy: AnyPolicy, request: &Request, canvas: Canvas) -> Result<AnyPolicy> {
    let Some(compute) = request.compression.masked else { return Ok(policy) };
    let Some(mask) = &request.mask else { return Err(Refusal::NothingMasked.into()) };
    let marked = beginning::marked_tokens(mask, canvas)?;
    Ok(AnyPolicy::new(Masked::new(policy, compute, canvas.grid, &marked)?))
}

/// Stores the inputs of a preparation and runs its graph, whose results stay stored.
async fn run_once(device: &Device, store: &mut Store, preparation: &Preparation) -> Result<()> {
    for (name, tensor) in preparation.inputs() {
        store.insert(device, name, tensor).await?;
    }
    store.allocate_missing(device, &preparation.graph).await?;
    Plan::compile(device, &preparation.graph, store, Memory::Shared).await?.run(device)?;
    device.check()
}
