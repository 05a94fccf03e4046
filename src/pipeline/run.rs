//! The denoising loop. The caller owns it: each step is handed out and run when the caller says so, so cancelling, previews
//! and sharing a device with a renderer need no hooks.

use std::sync::Arc;

use super::names::LATENTS;
use super::step_inputs::StepInputs;
use super::{Pictures, Viewer};
use crate::compress::{AnyPolicy, KeptRatios};
use crate::device::{Device, Plan, Program, Store};
use crate::gpu::{self, Profiler};
use crate::kernels::Guidance;
use crate::models::{Canvas, Decoder};
use crate::schedulers::Schedule;
use crate::{Error, Grid, Result, Size, Tensor, Warning};

/// A request under way.
#[derive(Debug)]
pub struct Run {
    pub(super) device: Device,
    pub(super) store: Store,
    pub(super) decoder: Arc<dyn Decoder>,
    /// One for each distinct step.
    pub(super) plans: Vec<Plan>,
    /// Which plan each step runs.
    pub(super) plan_of: Vec<usize>,
    /// The stored values that each plan touches.
    pub(super) stored: Vec<Vec<String>>,
    /// What one step hands to the next, by name, and how many numbers it is.
    pub(super) carried: Vec<(String, usize)>,
    pub(super) schedule: Schedule,
    pub(super) scheduler: &'static str,
    pub(super) guidance: Option<f32>,
    pub(super) order: Guidance,
    pub(super) policy: AnyPolicy,
    pub(super) dense_flops: u64,
    pub(super) inputs: StepInputs,
    /// Shape of the latents, `[L, C, H, W]`.
    pub(super) shape: [usize; 4],
    pub(super) canvas: Canvas,
    pub(super) at: usize,
    /// The step that it began or resumed with.
    pub(super) since: usize,
    /// What the caller should know, though it is no error: a prompt that was cut off, say.
    pub warnings: Vec<Warning>,
}

impl Run {
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

    /// Steps handed out so far.
    pub fn taken(&self) -> usize {
        self.at
    }

    /// Size of its pictures in pixels.
    pub fn size(&self) -> Size {
        self.canvas.pixels
    }

    /// The token grid of its pictures.
    pub fn grid(&self) -> Grid {
        self.canvas.grid
    }

    /// The guidance scale, where guidance is on.
    pub fn guidance(&self) -> Option<f32> {
        self.guidance
    }

    /// The class of its scheduler.
    pub fn scheduler(&self) -> &'static str {
        self.scheduler
    }

    /// The name of its compression policy.
    pub fn policy(&self) -> &str {
        self.policy.name()
    }

    /// The share of the tokens that each layer keeps, by region of the timesteps, where the policy has such a matrix.
    pub fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.policy.kept_ratios()
    }

    /// The sample of the batch that is conditional for picture `index`. Traces have a row for each sample.
    pub fn conditional_sample(&self, index: usize) -> usize {
        match (self.guidance, self.order) {
            (Some(_), Guidance::UncondFirst) => self.shape[0] + index,
            _ => index,
        }
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

    /// Reads one of the run's stored tensors: [`LATENTS`], [`GUIDED`](super::GUIDED).
    pub async fn read(&self, name: &str) -> Result<Tensor> {
        self.store.read(&self.device, name).await
    }

    /// Decodes the latents as they are: a preview while steps are left, the pictures after the last.
    pub async fn decode(&self) -> Result<Pictures> {
        let [count, channels, height, width] = self.shape;
        let latents = self.read(LATENTS).await?;
        let mut pixels = Vec::new();
        let mut shape = [count, 3, 0, 0];
        for one in latents.f32().chunks_exact(channels * height * width) {
            let one = Tensor::new(&[1, channels, height, width], one.to_vec())?;
            let picture = self.decoder.pictures(&self.device, &self.store, &one).await?;
            shape[1..].copy_from_slice(&picture.shape[1..]);
            pixels.extend_from_slice(picture.f32());
        }
        Ok(Pictures(Tensor::new(&shape, pixels)?))
    }

    /// Compiles the decoding of this run's latents, once for a preview after every step. Serves single pictures that the
    /// device holds whole; [`Run::decode`] serves all.
    pub async fn viewer(&self) -> Result<Viewer> {
        Viewer::new(&self.device, self.decoder.as_ref(), &self.store, &self.shape).await
    }

    /// The picture of the latents as they are, as a texture on the run's device. Nothing is read back. Needs a GPU.
    pub async fn texture(&self) -> Result<wgpu::Texture> {
        self.viewer().await?.texture()
    }

    /// Takes all remaining steps, one submission each, and returns the pictures.
    pub async fn complete(mut self) -> Result<Pictures> {
        let device = self.device.clone();
        while let Some(step) = self.next_step() {
            step.run()?;
            device.wait().await?;
        }
        self.finish().await
    }

    /// The pictures, once every step was run.
    pub async fn finish(self) -> Result<Pictures> {
        if self.at < self.schedule.steps.len() {
            let reason = format!("only {} of {} steps were taken", self.at, self.schedule.steps.len());
            return Err(Error::Usage(reason));
        }
        self.decode().await
    }
}

/// The next step of a [`Run`].
#[derive(Debug)]
pub struct Step<'a> {
    run: &'a Run,
    /// Its number, from 0.
    pub index: usize,
    /// The number of steps.
    pub of: usize,
    /// The timestep, in training timesteps.
    pub timestep: f32,
}

impl Step<'_> {
    /// Floating-point operations of this step.
    pub fn flops(&self) -> u64 {
        self.plan().flops()
    }

    /// Hands the step to the device, as one submission, without waiting for it.
    pub fn run(&self) -> Result<()> {
        self.run.device.run(&self.programs())
    }

    /// Encodes the whole step into an encoder of the caller's, who submits it. Nothing is read back. Needs a GPU.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.programs().iter().try_for_each(|program| gpu::encode(*program, encoder))
    }

    /// As [`Step::encode`], with timestamps around each group of ops.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        let [inputs, step] = self.programs();
        gpu::encode(inputs, encoder)?;
        gpu::encode_profiled(step, encoder, profiler)
    }

    /// What puts the step's inputs in place, and the step itself.
    fn programs(&self) -> [&dyn Program; 2] {
        [self.run.inputs.of(self.index), self.plan().program()]
    }

    fn plan(&self) -> &Plan {
        &self.run.plans[self.run.plan_of[self.index]]
    }
}
