//! From a request to a picture: load a model folder, prepare what no step changes, step, decode.

mod beginning;
mod compile;
mod model;
mod names;
mod part;
mod picture;
mod registry;
mod run;
mod state;
mod step;
mod step_inputs;
mod task;
mod trace;
mod transformer_steps;
mod viewer;

use std::sync::Arc;

pub use model::{Model, Parts};
pub use names::{FIRST_NOISE, GUIDED, LATENTS};
pub use picture::Pictures;
pub use registry::{Compiling, LoadOptions, Progress, Registry};
pub use run::Run;
pub use state::RunState;
pub use step::Step;
pub use trace::{LayerTrace, Traced};
pub use transformer_steps::{PREDICTION, StepSize, TransformerSteps};
pub use viewer::Viewer;

use crate::compress::{AnyPolicy, Masked, Trained};
use crate::device::{Device, Memory, Plan, Store};
use crate::graph::Graph;
use crate::loading::Answer;
use crate::models::{Batch, Canvas, Conditioner, Decoder, Denoiser, Habits, Preparation, Room};
use crate::request::check_pixels;
use crate::rng::Generator;
use crate::schedulers::Schedule;
use crate::weights::Source;
use crate::{Error, Refusal, Request, Result, Size};
use compile::Start;
use part::Part;
use state::identity;
use task::{Task, trained_to_fill_in};

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
        let parts = model.parts().await?;
        Self::from_parts(device, model, parts, progress).await
    }

    /// Loads the opened parts of a folder.
    pub async fn from_parts<A: Answer>(
        device: impl Into<Device>,
        model: Model,
        parts: Parts,
        progress: impl FnMut(Progress<'_>) -> A,
    ) -> Result<Self> {
        let device = device.into();
        model.scheduler(None).await?; // found wrong before anything is loaded
        let Parts { denoiser, trained, conditioner, decoder, loaders } = parts;
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
        model::canvas_for(self.denoiser.as_ref(), self.decoder.as_ref(), picture)
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
    /// computed. Compiling keeps a thread busy, natively, for as long as the driver takes: a host with frames to draw
    /// awaits this on another thread.
    pub async fn prepare(&self, request: &Request) -> Result<Run> {
        self.prepare_with(request, |_| {}).await
    }

    /// As [`Pipeline::prepare`]. `progress` receives how far compiling is; where it returns an error, preparing ends
    /// with that.
    pub async fn prepare_with<A: Answer>(
        &self,
        request: &Request,
        progress: impl FnMut(Compiling) -> A,
    ) -> Result<Run> {
        request.check()?;
        self.device.check()?;
        let habits = self.habits();
        habits.draws.check(request)?;
        let policies = &self.model.registry().policies;
        let policy = policies.policy(&request.compression, &self.trained, request.seed, request.traced)?;
        let guidance = habits.guidance_of(request);
        let scheduler = self.model.scheduler(request.scheduler.as_deref()).await?;
        let task = Task::of(request, self.denoiser.sizes().channels, self.decoder.channels())?;
        let schedule = self.model.schedule_of(request, task, scheduler.as_ref())?;

        let canvas = self.canvas(request)?;
        let shape = self.latents(request, canvas.latents)?;
        let policy = masked(policy, request, canvas)?;
        let batch = Batch { pictures: shape[0], guided: guidance.is_some() };
        let room = self.room(shape, batch, canvas, &schedule)?;
        let (preparation, mut warnings) = self.condition(request, batch, canvas, room).await?;

        let steps = policy.steps(&schedule.timesteps(), canvas.grid.tokens());
        warnings.extend(policy.warning(&steps.distinct, canvas.grid.tokens()));
        let fingerprint = identity(request, &self.model.folder.pipeline, self.denoiser.sizes())?;
        let mut start = Start {
            fingerprint,
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
            part: Part::of(request, canvas, self.decoder.factor()),
            warnings,
        };
        let graphs = start.graphs()?;
        preparation.graph.check(self.device.caps())?;
        // Nothing was allocated or computed on the device up to here.
        let all: Vec<&Graph> = [&preparation.graph].into_iter().chain(&graphs).collect();
        warm(&self.device, &all, progress).await?;
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
                return Err(wrong_latents("latents", shape, "[batch, channels, height, width]".into()));
            }
            (Some(size), _) => self.decoder.latents(size)?,
        };
        let pixels = latents.times(self.decoder.factor());
        let masked = request.mask.as_ref().map(|mask| Size::new(mask.shape[1], mask.shape[0]));
        for (what, given) in [("the picture", pictured), ("the mask", masked)] {
            if let Some(given) = given.filter(|given| *given != pixels) {
                return Err(Refusal::OtherSize { what, given, wanted: pixels }.into());
            }
        }
        check_pixels(origin, pixels, request.pictures())?;
        Ok(Canvas { pixels, latents, grid: self.denoiser.grid(latents)? })
    }

    /// Channels of the latents: those that the model sees, but for a model that sees masks beside them.
    fn channels(&self) -> usize {
        let (inputs, latents) = (self.denoiser.sizes().channels, self.decoder.channels());
        if trained_to_fill_in(inputs, latents) { latents } else { inputs }
    }

    /// The shape of the latents `[L, C, h, w]`, which those of the request must have.
    fn latents(&self, request: &Request, latents: Size) -> Result<[usize; 4]> {
        let shape = [request.pictures(), self.channels(), latents.height, latents.width];
        let mut image = shape;
        image[0] = 1;
        for (tensor, given, needed) in
            [("init_latents", &request.init_latents, shape), ("image_latents", &request.image_latents, image)]
        {
            if let Some(given) = given.as_ref().filter(|given| given.shape != needed) {
                return Err(wrong_latents(tensor, &given.shape, format!("{needed:?} by this request")));
            }
        }
        Ok(shape)
    }
}

fn wrong_latents(tensor: &'static str, found: &[usize], expected: String) -> Error {
    Refusal::WrongShape { tensor, found: found.to_vec(), expected }.into()
}

/// The policy among the tokens under the request's mask, where it asks for that.
fn masked(policy: AnyPolicy, request: &Request, canvas: Canvas) -> Result<AnyPolicy> {
    let Some(compute) = request.compression.masked else { return Ok(policy) };
    let Some(mask) = &request.mask else { return Err(Refusal::NothingMasked.into()) };
    let marked = beginning::marked_tokens(mask, canvas)?;
    Ok(AnyPolicy::new(Masked::new(policy, compute, canvas.grid, &marked)?))
}

/// Ops whose kernels are compiled side by side before the host is asked whether to go on: less than a block, so that it
/// is asked while the first block compiles, which has nearly all kernels of a model.
const WARMED_AT_ONCE: usize = 8;

/// Compiles what the ops of some graphs run.
async fn warm<A: Answer>(device: &Device, graphs: &[&Graph], mut progress: impl FnMut(Compiling) -> A) -> Result<()> {
    let (mut done, total) = (0, graphs.iter().map(|graph| graph.nodes().len()).sum());
    for graph in graphs {
        let ops = graph.nodes().len();
        for first in (0..ops).step_by(WARMED_AT_ONCE) {
            progress(Compiling { done, total }).answer()?;
            let some = first..ops.min(first + WARMED_AT_ONCE);
            done += some.len();
            device.warm(graph, some).await?;
        }
    }
    progress(Compiling { done, total }).answer()
}

/// Stores the inputs of a preparation and runs its graph, whose results stay stored.
async fn run_once(device: &Device, store: &mut Store, preparation: &Preparation) -> Result<()> {
    for (name, tensor) in preparation.inputs() {
        store.insert(device, name, tensor).await?;
    }
    store.allocate_missing(device, &preparation.graph).await?;
    Plan::compile(device, &preparation.graph, store, Memory::Shared).await?.run_to_end(device).await?;
    device.check()
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::graph::{AdapterClass, Caps};
    use crate::testing::gpu;

    /// Everything would fit, but the adapter would end the loops of attention early, as Mesa's software one does.
    #[test]
    fn a_picture_that_an_adapter_would_cut_short_is_refused() {
        let caps = Caps { class: AdapterClass::Software, max_rounds: 65_535, ..gpu().caps().clone() };
        let model = Source::Folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model").into());
        let pipeline = block_on(Pipeline::load(gpu().with_caps(caps), model, LoadOptions::default(), |_| {})).unwrap();
        let size = Some(Size::square(2048));
        let request = Request { size, steps: Some(2), guidance: Some(1.0), ..Request::prompt("a fox") };
        let error = pipeline.start(&request).unwrap_err();
        assert!(matches!(error, Error::Limit { needed, .. } if needed > 65_535), "{error}");
        assert!(error.to_string().contains("attention to 262144 keys"), "{error}");
    }
}
