//! The denoising loop. The caller owns it: each step is handed out and run when the caller says so, so cancelling,
//! previews and sharing a device with a renderer need no hooks.

use std::sync::{Arc, Mutex};

use super::names::{LATENTS, STEP};
use super::part::Part;
use super::step::{Handed, Step};
use super::step_inputs::StepInputs;
use super::{Pictures, Viewer};
use crate::compress::{AnyPolicy, KeptRatios};
use crate::device::{Device, Plan, Store};
use crate::fingerprint::Fingerprint;
use crate::graph::Graph;
use crate::kernels::{Guidance, step_row};
use crate::models::{Canvas, Decoder};
use crate::schedulers::Schedule;
use crate::shared::lock;
use crate::tensor::{BOUND, in_range};
use crate::{Error, Grid, Result, Size, Tensor, Warning};

/// Guidance beyond this is named as the likely cause of numbers that are not finite. Models are made for 1 to 20.
const USUAL_GUIDANCE: f32 = 100.0;

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
    /// What each plan was compiled from.
    pub(super) graphs: Vec<Graph>,
    /// Which plans take blocks over from an earlier step.
    pub(super) reuses: Vec<bool>,
    /// The model's blocks.
    pub(super) layers: usize,
    /// What one step hands to the next, by name, and how many numbers it is.
    pub(super) carried: Vec<(String, usize)>,
    pub(super) schedule: Schedule,
    pub(super) scheduler: &'static str,
    pub(super) guidance: Option<f32>,
    pub(super) order: Guidance,
    pub(super) policy: AnyPolicy,
    pub(super) dense_flops: u64,
    /// What tells it from runs of other requests.
    pub(super) fingerprint: Fingerprint,
    pub(super) inputs: StepInputs,
    /// Shape of the latents, `[L, C, H, W]`.
    pub(super) shape: [usize; 4],
    pub(super) canvas: Canvas,
    /// What of the pictures is decoded, where that is not all.
    pub(super) part: Option<Part>,
    pub(super) at: usize,
    /// How far the steps were run or encoded. Each is, once, in their order.
    pub(super) handed: Mutex<Handed>,
    /// The step that it began or resumed with.
    pub(super) since: usize,
    /// What the caller should know, though it is no error: a prompt that was cut off, say.
    pub warnings: Vec<Warning>,
}

impl Run {
    /// The next step, until there is none. A step of which only a part was encoded ([`Step::encode_slice`]) is handed
    /// out again, until all of it is.
    pub fn next_step(&mut self) -> Option<Step<'_>> {
        let index = match lock(&self.handed).under_way() {
            Some(index) => index,
            None => self.at,
        };
        let timestep = self.schedule.steps.get(index)?.timestep;
        self.at = index + 1;
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

    /// The model's blocks, which a trace counts as layers.
    pub fn layers(&self) -> usize {
        self.layers
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

    /// The name of the measured choices that its kernels follow, where there are any: see
    /// [`Gpu::with_tuning`](crate::Gpu::with_tuning).
    pub fn tuning(&self) -> Option<String> {
        self.device.caps().choices.name()
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

    /// The graph of each distinct step: [`tune`](crate::low_level::tuning::tune) measures what they ask for.
    pub fn graphs(&self) -> &[Graph] {
        &self.graphs
    }

    /// How many plans the steps share.
    pub fn plans(&self) -> usize {
        self.plans.len()
    }

    /// Reads one of the run's stored tensors: [`LATENTS`], [`GUIDED`](super::GUIDED).
    pub async fn read(&self, name: &str) -> Result<Tensor> {
        self.store.read(&self.device, name).await
    }

    /// Fails where no picture comes of what was computed: where a number is not finite or beyond all reason, or where
    /// after the last step not every step was encoded and submitted. [`Run::decode`] and [`Run::finish`] ask it
    /// themselves. A host that keeps its picture on the device asks it here, once: the latents are read back for it.
    pub async fn check(&self) -> Result<()> {
        self.check_latents(&self.read(LATENTS).await?).await
    }

    /// The same, of latents that were read back.
    async fn check_latents(&self, latents: &Tensor) -> Result<()> {
        self.check_encoded()?;
        if self.at == self.steps() && self.since < self.at {
            let number = self.read(STEP).await?.f32()[step_row::NUMBER] as usize;
            if number != self.at {
                let reason = format!("the device came to step {number} of {}: not every step was submitted", self.at);
                return Err(Error::Steps(reason));
            }
        }
        self.check_range("the latents are", latents)
    }

    /// Fails after the last step where one of them was neither run nor encoded.
    fn check_encoded(&self) -> Result<()> {
        let handed = lock(&self.handed);
        let (encoded, steps) = (handed.steps, self.steps());
        if self.at == steps && encoded < steps {
            return Err(Error::Steps(format!("only {encoded} of {steps} steps were encoded")));
        }
        if handed.running { handed.check_between_steps() } else { Ok(()) }
    }

    fn check_range(&self, what: &str, numbers: &Tensor) -> Result<()> {
        let mut beyond = numbers.f32().iter().filter(|number| !in_range(**number)).peekable();
        if beyond.peek().is_none() {
            return Ok(());
        }
        let what = match beyond.all(|number| number.is_finite()) {
            true => format!("{what} beyond {BOUND:e}"),
            false => format!("{what} not finite"),
        };
        let cause = match self.guidance {
            Some(scale) if scale > USUAL_GUIDANCE => format!("a guidance of {scale:?} is likely too large"),
            _ => "the model's weights or configs are likely damaged".into(),
        };
        Err(Error::NotFinite { what, cause })
    }

    /// Decodes the latents as they are: a preview while steps are left, the pictures after the last. See [`Run::check`].
    /// With [masked compute](crate::compress::MaskedCompute) of a given picture, only the part under the mask is
    /// decoded, and the rest is the given picture.
    pub async fn decode(&self) -> Result<Pictures> {
        let latents = self.read(LATENTS).await?;
        self.check_latents(&latents).await?;
        let (device, store) = (&self.device, &self.store);
        let pictures = match &self.part {
            None => self.decoder.pictures(device, store, &latents).await?,
            Some(part) if part.areas.is_empty() => part.composed(&[], self.shape[0])?,
            Some(part) => {
                let decoded = self.decoder.areas(device, store, &latents, &part.areas).await?;
                part.composed(&decoded, self.shape[0])?
            }
        };
        self.check_range("the decoded picture is", &pictures)?;
        Ok(Pictures(pictures))
    }

    /// Compiles the decoding of this run's latents, all of them, once for a preview after every step. Serves single
    /// pictures that the device holds whole; [`Run::decode`] serves all.
    pub async fn viewer(&self) -> Result<Viewer> {
        Viewer::new(&self.device, self.decoder.as_ref(), &self.store, &self.shape).await
    }

    /// The picture of the latents as they are, as a texture on the run's device. Nothing is read back, so that numbers
    /// that are not finite show as black: see [`Run::check`]. Needs a GPU.
    pub async fn texture(&self) -> Result<wgpu::Texture> {
        self.check_encoded()?;
        self.viewer().await?.texture()
    }

    /// Takes all remaining steps and returns the pictures.
    pub async fn complete(mut self) -> Result<Pictures> {
        while let Some(step) = self.next_step() {
            step.run_to_end().await?;
        }
        self.finish().await
    }

    /// The pictures, once every step was run.
    pub async fn finish(self) -> Result<Pictures> {
        if self.at < self.schedule.steps.len() {
            let reason = format!("only {} of {} steps were taken", self.at, self.schedule.steps.len());
            return Err(Error::Steps(reason));
        }
        self.decode().await
    }
}
