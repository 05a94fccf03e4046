//! The denoising loop that every pipeline shares. The caller owns it: each step is encoded into an encoder of the
//! caller's, so cancelling, previews and sharing a device with a renderer need no hooks.

use std::sync::Arc;

use super::Pictures;
use super::step_inputs::{NOISE, STEP, StepInputs};
use super::viewer::Viewer;
use crate::compress::{self, Dense, KeptRatios, Policy, StepPolicy, Variant};
use crate::device::{Device, Plan, Store};
use crate::gpu::{self, Profiler};
use crate::graph::{Element, Graph, Home, ValueId};
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
const HISTORY: [&str; 2] = ["history.1", "history.2"];

/// What a pipeline decides before the loop starts.
pub(super) struct Start<'a> {
    pub gpu: &'a Device,
    /// Weights and conditioning.
    pub store: Store,
    pub vae: Arc<AutoencoderKl>,
    pub schedule: Schedule,
    /// The scale, where guidance is on.
    pub guidance: Option<f32>,
    /// Which half of the batch is conditional.
    pub order: Guidance,
    pub latents: Latents,
    /// Tokens of a picture, N.
    pub tokens: usize,
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
    gpu: Device,
    store: Store,
    vae: Arc<AutoencoderKl>,
    /// One for each variant of the step, and which of them each step takes.
    plans: Vec<Plan>,
    plan_of: Vec<usize>,
    /// What each plan writes for others to read: see [`crate::graph::Graph::stored`].
    stored: Vec<Vec<String>>,
    /// What one step hands to the next, by name, and how many numbers it is.
    carried: Vec<(String, usize)>,
    schedule: Schedule,
    guidance: Option<f32>,
    order: Guidance,
    policy: &'static str,
    ratios: Option<KeptRatios>,
    dense_flops: u64,
    inputs: StepInputs,
    shape: [usize; 4],
    at: usize,
    /// The step that it began or went on with.
    since: usize,
    /// What the caller should know, though it is no error: a truncated prompt.
    pub warnings: Vec<String>,
}

/// How far a run came, outside the device: see [`Run::state`].
#[derive(Clone, Debug)]
pub struct RunState {
    /// Steps taken.
    pub taken: usize,
    /// The latents, the scheduler's history and what the policy carries from step to step, one after the other.
    pub values: Vec<f32>,
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
    /// Compiles every variant of the step: `model` adds the transformer, this the guidance and the scheduler's update.
    pub(super) async fn new(
        start: Start<'_>,
        policy: &dyn Policy,
        model: impl Fn(&mut Graph, Noisy, StepPolicy<'_>) -> Result<ValueId>,
    ) -> Result<Self> {
        let Start { gpu, mut store, vae, schedule, guidance, order, latents, tokens } = start;
        let Latents { start, mut generator, draws_per_sample } = latents;
        let shape: [usize; 4] = start.shape.as_slice().try_into().map_err(|_| {
            Error::shape("latents", format!("shape {:?} should be [batch, channels, height, width]", start.shape))
        })?;

        let (variants, plan_of) = policy.variants(&schedule.timesteps(), tokens);
        let batch = shape[0] * if guidance.is_some() { 2 } else { 1 };
        let graph = |policy: StepPolicy<'_>| -> Result<Graph> {
            let mut graph = Graph::new();
            let latents = graph.stored(LATENTS, &shape, Element::F32);
            let step = graph.stored(STEP, &[step_row::LEN], Element::F32);
            let output = model(&mut graph, Noisy { latents, step, batch }, policy)?;
            graph.group("scheduler");
            let mut stored = |name| graph.stored(name, &shape, Element::F32);
            let (history, noise, guided) = (HISTORY.map(&mut stored), stored(NOISE), stored(GUIDED));
            let guidance = if guidance.is_some() { order } else { Guidance::None };
            let update = SchedulerStep { output, latents, history, noise, step, guided, guidance };
            kernels::scheduler_step(&mut graph, update)?;
            Ok(graph)
        };
        let mut graphs = Vec::new();
        for variant in &variants {
            let graph = graph(StepPolicy { policy, variant })?;
            store.allocate_missing(gpu, &graph).await?;
            graphs.push(graph);
        }
        let dense_flops = graph(StepPolicy { policy: &Dense, variant: &Variant::new() })?.flops();
        store.write(gpu, LATENTS, start.bytes())?;
        let plans = Plan::compile_pooled(gpu, &graphs, &store).await?;
        let stored: Vec<Vec<String>> = graphs.iter().map(stored_names).collect();
        let carried = carried(&graphs);

        let count = shape.iter().product::<usize>();
        let counts = [count, count * draws_per_sample];
        let inputs = StepInputs::new(gpu, &store, &schedule, guidance, &mut generator, counts).await?;
        let warning = policy.warning(&variants, tokens);
        let (gpu, ratios, policy) = (gpu.clone(), policy.kept_ratios().cloned(), policy.name());
        let (at, warnings) = (0, warning.into_iter().collect());
        Ok(Self {
            gpu,
            store,
            vae,
            plans,
            plan_of,
            stored,
            carried,
            schedule,
            guidance,
            order,
            policy,
            ratios,
            dense_flops,
            inputs,
            shape,
            at,
            since: 0,
            warnings,
        })
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

    /// Width and height of its pictures in pixels.
    pub fn size(&self) -> [usize; 2] {
        let factor = self.vae.config.scale_factor();
        [self.shape[3] * factor, self.shape[2] * factor]
    }

    /// The guidance scale, where guidance is on.
    pub fn guidance(&self) -> Option<f32> {
        self.guidance
    }

    /// The compression policy at work.
    pub fn policy(&self) -> &'static str {
        self.policy
    }

    /// The share of the tokens that each layer keeps, by region of the timesteps; none where every token is computed.
    pub fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.ratios.as_ref()
    }

    /// Floating-point operations of one step, the mean over all steps.
    pub fn flops_per_step(&self) -> u64 {
        let all: u64 = self.plan_of.iter().map(|&plan| self.plans[plan].flops()).sum();
        all / (self.plan_of.len() as u64).max(1)
    }

    /// Floating-point operations that a step would take if every token were computed.
    pub fn dense_flops_per_step(&self) -> u64 {
        self.dense_flops
    }

    /// Bytes of memory for values in flight, which all steps share.
    pub fn transient_bytes(&self) -> u64 {
        self.plans.iter().map(Plan::transient_bytes).max().unwrap_or(0)
    }

    /// How many plans the steps share.
    pub fn plans(&self) -> usize {
        self.plans.len()
    }

    /// The sample of the guided batch that is conditional for picture `index`, in what [`Run::routing`] tells.
    pub fn conditional_sample(&self, index: usize) -> usize {
        match (self.guidance, self.order) {
            (Some(_), Guidance::UncondFirst) => self.shape[0] + index,
            _ => index,
        }
    }

    /// Steps handed out so far.
    pub fn taken(&self) -> usize {
        self.at
    }

    /// Whether a step of this run has written the stored value of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut taken = self.plan_of[self.since..self.at].iter();
        taken.any(|&plan| self.stored[plan].iter().any(|stored| stored == name))
    }

    /// The stored values that the last step touched, none before the first.
    pub(super) fn last_stored(&self) -> &[String] {
        let last = self.plan_of[self.since..self.at].last();
        last.map_or(&[], |&plan| &self.stored[plan])
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

    /// Compiles the decoding of this run's latents for showing them: once, for a preview after every step. Of one picture
    /// that fits the adapter whole; [`Run::finish`] serves the others.
    pub async fn viewer(&self) -> Result<Viewer> {
        Viewer::new(&self.gpu, &self.vae, &self.store, &self.shape).await
    }

    /// The picture of the latents as they are, as a texture on the run's device: nothing is read back.
    pub async fn texture(&self) -> Result<wgpu::Texture> {
        self.viewer().await?.texture()
    }

    /// Bytes of [`Run::state`]: few, but for policies that keep whole branches for later steps.
    pub fn state_bytes(&self) -> u64 {
        4 * self.carried.iter().map(|(_, count)| *count as u64).sum::<u64>()
    }

    /// What a later run of the same request needs to go on from here, after a lost device or another day.
    pub async fn state(&self) -> Result<RunState> {
        let mut values = Vec::new();
        for (name, _) in &self.carried {
            values.extend_from_slice(self.read(name).await?.f32());
        }
        Ok(RunState { taken: self.at, values })
    }

    /// Goes on where `state` was taken: the steps before it are not taken again.
    pub fn resume(&mut self, state: &RunState) -> Result<()> {
        let count: usize = self.carried.iter().map(|(_, count)| count).sum();
        if state.taken > self.steps() || state.values.len() != count {
            return Err(Error::Usage("the state to resume from belongs to another request".into()));
        }
        let mut values = state.values.as_slice();
        for (name, count) in &self.carried {
            let (own, rest) = values.split_at(*count);
            self.store.write(&self.gpu, name, bytemuck::cast_slice(own))?;
            values = rest;
        }
        (self.at, self.since) = (state.taken, state.taken);
        Ok(())
    }

    /// Takes all remaining steps, one submission each, and gives the pictures.
    pub async fn complete(mut self) -> Result<Pictures> {
        let gpu = self.gpu.clone();
        while let Some(step) = self.next_step() {
            step.run()?;
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

/// The names of a graph's stored values.
fn stored_names(graph: &Graph) -> Vec<String> {
    let stored = graph.values().iter().filter(|value| value.home == Home::Stored);
    stored.map(|value| value.name.clone()).collect()
}

/// What steps hand to each other: the latents, the scheduler's history, and what policies store for later.
fn carried(graphs: &[Graph]) -> Vec<(String, usize)> {
    let mut carried: Vec<(String, usize)> = Vec::new();
    for value in graphs.iter().flat_map(Graph::values).filter(|value| value.home == Home::Stored) {
        let of_the_loop = [LATENTS, HISTORY[0], HISTORY[1]].contains(&value.name.as_str());
        let known = carried.iter().any(|(name, _)| *name == value.name);
        if !known && (of_the_loop || value.name.starts_with(compress::CARRIED)) {
            carried.push((value.name.clone(), value.len()));
        }
    }
    carried
}

impl Step<'_> {
    /// Floating-point operations of this step.
    pub fn flops(&self) -> u64 {
        self.plan().flops()
    }

    /// Runs the whole step in one submission, without waiting for it.
    pub fn run(&self) -> Result<()> {
        self.run.gpu.run(&[self.run.inputs.copies(self.index), self.plan().program()])
    }

    /// Encodes the whole step, for a host that owns the encoder: no readback, no allocation. An error where the run's device is no GPU.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        gpu::encode(self.run.inputs.copies(self.index), encoder)?;
        self.plan().encode(encoder)
    }

    /// As [`Step::encode`], with timestamps around each group.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        gpu::encode(self.run.inputs.copies(self.index), encoder)?;
        self.plan().encode_profiled(encoder, profiler)
    }

    fn plan(&self) -> &Plan {
        &self.run.plans[self.run.plan_of[self.index]]
    }
}
