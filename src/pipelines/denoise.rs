//! The denoising loop that every pipeline shares. The caller owns it: each step is encoded into an encoder of the
//! caller's, so cancelling, previews and sharing a device with a renderer need no hooks.

use std::sync::Arc;

use super::Pictures;
use crate::compress::Policy;
use crate::gpu::{Buffer, Command, Gpu, Profiler, Recording};
use crate::graph::{Element, Graph, Memory, Plan, Store, ValueId};
use crate::kernels::{self, Guidance, SchedulerStep, step_row};
use crate::models::autoencoder_kl::AutoencoderKl;
use crate::models::patch_embed::Noisy;
use crate::rng::Generator;
use crate::schedulers::Schedule;
use crate::{Error, Result, Tensor};

/// Stored: the latents `[L, C, H, W]`, updated by every step.
pub const LATENTS: &str = "latents";
/// Stored: the model's guided output of the last step, `[L, C, H, W]`.
pub const GUIDED: &str = "guided";
const PIXELS: &str = "pixels";
const STEP: &str = "step";
const NOISE: &str = "noise";
const HISTORY: [&str; 2] = ["history.1", "history.2"];

/// What a pipeline decides before the loop starts.
pub(super) struct Start<'a> {
    pub gpu: &'a Gpu,
    /// Weights and conditioning.
    pub store: Store,
    pub vae: Arc<AutoencoderKl>,
    pub schedule: Schedule,
    /// The scale, where guidance is on.
    pub guidance: Option<f32>,
    /// Which half of the batch is conditional.
    pub order: Guidance,
    pub latents: Latents,
}

/// The starting noise and what later noise is drawn with.
pub(super) struct Latents {
    /// `[L, C, H, W]`, scaled by the scheduler's initial sigma.
    pub start: Tensor,
    pub generator: Generator,
    /// How often z is drawn over: diffusers' class-to-image pipeline steps both halves of its batch.
    pub draws_per_sample: usize,
}

/// A request under way.
#[derive(Debug)]
pub struct Run {
    gpu: Gpu,
    store: Store,
    vae: Arc<AutoencoderKl>,
    plan: Plan,
    schedule: Schedule,
    guidance: Option<f32>,
    policy: &'static str,
    /// One row of 64 bytes per step, and one z per step that draws.
    table: Buffer,
    noise: Option<Buffer>,
    noise_of: Vec<Option<usize>>,
    shape: [usize; 4],
    at: usize,
    /// What the caller should know, though it is no error: a truncated prompt.
    pub warnings: Vec<String>,
}

/// The next step of a [`Run`].
#[derive(Debug)]
pub struct Step<'a> {
    run: &'a Run,
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    /// The timestep that the model is told.
    pub timestep: f32,
}

impl Run {
    /// Compiles one step: `model` adds the transformer, this the guidance and the scheduler's update.
    pub(super) async fn new(
        start: Start<'_>,
        policy: &dyn Policy,
        model: impl FnOnce(&mut Graph, Noisy, &dyn Policy) -> Result<ValueId>,
    ) -> Result<Self> {
        let Start { gpu, mut store, vae, schedule, guidance, order, latents } = start;
        let Latents { start, mut generator, draws_per_sample } = latents;
        let shape: [usize; 4] = start.shape.as_slice().try_into().map_err(|_| {
            Error::shape("latents", format!("shape {:?} should be [batch, channels, height, width]", start.shape))
        })?;

        let mut graph = Graph::new();
        let x = graph.stored(LATENTS, &shape, Element::F32);
        let step = graph.stored(STEP, &[step_row::LEN], Element::F32);
        let batch = shape[0] * if guidance.is_some() { 2 } else { 1 };
        let output = model(&mut graph, Noisy { latents: x, step, batch }, policy)?;
        graph.group("scheduler");
        let [history, noise, guided] = [HISTORY.as_slice(), &[NOISE], &[GUIDED]]
            .map(|names| names.iter().map(|name| graph.stored(*name, &shape, Element::F32)).collect::<Vec<_>>());
        kernels::scheduler_step(
            &mut graph,
            SchedulerStep {
                output,
                latents: x,
                history: [history[0], history[1]],
                noise: noise[0],
                step,
                guided: guided[0],
                guidance: if guidance.is_some() { order } else { Guidance::None },
            },
        )?;
        store.allocate_missing(gpu, &graph).await?;
        store.write(gpu, LATENTS, start.bytes())?;
        let plan = Plan::compile(gpu, &graph, &store, Memory::Shared).await?;

        let (mut rows, mut draws, mut noise_of) = (Vec::new(), Vec::new(), Vec::new());
        let count = shape.iter().product::<usize>();
        for step in &schedule.steps {
            let mut row: [f32; step_row::LEN] = bytemuck::cast(*step);
            row[step_row::GUIDANCE] = guidance.unwrap_or(1.0);
            rows.extend(row);
            noise_of.push(step.draws_noise().then_some(draws.len() / count));
            if step.draws_noise() {
                draws.extend_from_slice(&generator.randn(count * draws_per_sample)[..count]);
            }
        }
        let table = gpu.buffer(4 * rows.len() as u64, "schedule").await?;
        gpu.write(&table, 0, bytemuck::cast_slice(&rows));
        let noise = match draws.is_empty() {
            true => None,
            false => {
                let buffer = gpu.buffer(4 * draws.len() as u64, "noise of every step").await?;
                gpu.write(&buffer, 0, bytemuck::cast_slice(&draws));
                Some(buffer)
            }
        };
        let (gpu, warnings) = (gpu.clone(), Vec::new());
        let policy = policy.name();
        Ok(Self { gpu, store, vae, plan, schedule, guidance, policy, table, noise, noise_of, shape, at: 0, warnings })
    }

    /// The next step, until there is none.
    pub fn next_step(&mut self) -> Option<Step<'_>> {
        let index = self.at;
        let timestep = self.schedule.steps.get(index)?.timestep;
        self.at += 1;
        Some(Step { index, of: self.schedule.steps.len(), timestep, run: self })
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.schedule.steps.len()
    }

    /// The guidance scale, where guidance is on.
    pub fn guidance(&self) -> Option<f32> {
        self.guidance
    }

    /// The compression policy at work.
    pub fn policy(&self) -> &'static str {
        self.policy
    }

    /// Floating-point operations of one step.
    pub fn flops_per_step(&self) -> u64 {
        self.plan.flops()
    }

    /// Bytes of memory that one step uses for values in flight.
    pub fn transient_bytes(&self) -> u64 {
        self.plan.transient_bytes()
    }

    /// Reads one of the run's tensors: [`LATENTS`], [`GUIDED`].
    pub async fn read(&self, name: &str) -> Result<Tensor> {
        self.store.read(&self.gpu, name).await
    }

    /// Decodes the latents as they are: a preview while steps are left, the picture after the last.
    pub async fn decode(&self) -> Result<Pictures> {
        let [count, channels, height, width] = self.shape;
        let latents = self.read(LATENTS).await?;
        let mut pixels = Vec::new();
        let mut shape = [count, 3, 0, 0];
        for one in latents.f32().chunks_exact(channels * height * width) {
            let one = Tensor::new(&[1, channels, height, width], one.to_vec())?;
            let picture = self.vae.decode_latents(&self.gpu, &self.store, &one).await?;
            shape[1..].copy_from_slice(&picture.shape[1..]);
            pixels.extend_from_slice(picture.f32());
        }
        Ok(Pictures(Tensor::new(&shape, pixels)?))
    }

    /// The picture of the latents as they are, as a texture on the run's device: nothing is read back. Of one picture that
    /// fits the adapter whole; [`Run::finish`] serves the others.
    pub async fn texture(&self) -> Result<wgpu::Texture> {
        let mut graph = Graph::new();
        let latents = graph.stored(LATENTS, &self.shape, Element::F32);
        let picture = self.vae.decode(&mut graph, latents)?;
        let [_, _, height, width] = graph.dims("texture", picture)?;
        let pixels = kernels::rgba(&mut graph, picture)?;
        let stride = graph.shape(pixels)[1];
        graph.keep(pixels, PIXELS);
        let mut store = self.store.clone();
        store.allocate_missing(&self.gpu, &graph).await?;
        let plan = Plan::compile(&self.gpu, &graph, &store, Memory::Shared).await?;
        let mut encoder = self.gpu.encoder();
        plan.recording.encode(&mut encoder);
        self.gpu.submit(encoder);
        Ok(self.gpu.texture(store.buffer(PIXELS)?, stride as u32, width as u32, height as u32))
    }

    /// Takes all remaining steps, one submission each, and gives the pictures.
    pub async fn complete(mut self) -> Result<Pictures> {
        let gpu = self.gpu.clone();
        while let Some(step) = self.next_step() {
            let mut encoder = gpu.encoder();
            step.encode(&mut encoder)?;
            gpu.submit(encoder);
            gpu.wait().await?;
        }
        self.finish().await
    }

    /// The pictures, once every step was encoded and submitted.
    pub async fn finish(self) -> Result<Pictures> {
        if self.at < self.schedule.steps.len() {
            let reason = format!("only {} of {} steps were taken", self.at, self.schedule.steps.len());
            return Err(Error::Usage(reason));
        }
        self.decode().await
    }
}

impl Step<'_> {
    /// Encodes the whole step: no readback, no allocation.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.inputs()?.encode(encoder);
        self.run.plan.recording.encode(encoder);
        Ok(())
    }

    /// As [`Step::encode`], with timestamps around each group.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        self.inputs()?.encode(encoder);
        self.run.plan.recording.encode_profiled(encoder, profiler);
        Ok(())
    }

    /// Puts this step's row of the schedule, and its noise, where the plan reads them.
    fn inputs(&self) -> Result<Recording> {
        let (run, mut recording) = (self.run, Recording::default());
        let mut copy = |from: &Buffer, index: usize, name: &str| -> Result<()> {
            let to = run.store.buffer(name)?.clone();
            let bytes = to.size();
            recording.push("inputs", Command::Copy { from: from.clone(), offset: index as u64 * bytes, to, bytes });
            Ok(())
        };
        copy(&run.table, self.index, STEP)?;
        if let (Some(noise), Some(draw)) = (&run.noise, run.noise_of[self.index]) {
            copy(noise, draw, NOISE)?;
        }
        Ok(recording)
    }
}
