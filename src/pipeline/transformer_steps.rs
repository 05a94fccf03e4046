//! The steps of a model's transformer without the rest of a pipeline: as graphs to count, and with random inputs to
//! time.

use super::model::{self, Model};
use super::names::{LATENTS, STEP};
use super::{Progress, run_once};
use crate::compress::{PolicyStep, Trained};
use crate::device::{Device, Store};
use crate::graph::{Element, Graph};
use crate::kernels::step_row;
use crate::loading::{Answer, Loader};
use crate::models::{Canvas, Denoiser, Given, Noisy, Preparation, Room, Sizes, Transformer};
use crate::request::{check_count, check_pixels};
use crate::rng::Generator;
use crate::{Grid, Request, Result, Size, Tensor};

/// Stored: the model's output of the last step, `[B, Cout, H, W]`.
pub const PREDICTION: &str = "prediction";

/// A transformer by the names and shapes of its tensors, of which none is loaded yet.
#[derive(Debug)]
pub struct TransformerSteps {
    denoiser: Box<dyn Denoiser>,
    loader: Loader,
    /// What the checkpoint holds for compression policies.
    pub trained: Trained,
}

/// The size of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepSize {
    /// Samples B, all of the same latents: 2 under guidance.
    pub batch: usize,
    /// Size of the latents.
    pub latents: Size,
    /// Tokens of the text, where there is text.
    pub text: usize,
}

impl StepSize {
    /// Refuses what no run may ask for either, by the same limits.
    fn check(self) -> Result<()> {
        let text = Request { max_length: Some(self.text), ..Request::default() };
        text.check()?;
        // Guidance doubles the batch.
        check_count(self.batch.div_ceil(2))?;
        check_pixels("a size of latents", self.latents, self.batch)
    }
}

impl TransformerSteps {
    /// The transformer of a folder.
    pub async fn open(model: &Model) -> Result<Self> {
        let Transformer { denoiser, trained, loader } = model.transformer().await?;
        Ok(Self { denoiser, loader, trained })
    }

    /// The transformer's sizes.
    pub fn sizes(&self) -> Sizes {
        self.denoiser.sizes()
    }

    /// The token grid of latents.
    pub fn grid(&self, latents: Size) -> Result<Grid> {
        self.denoiser.grid(latents)
    }

    /// What every step of this size finds stored.
    pub async fn given(&self, size: StepSize) -> Result<Given> {
        Ok(self.prepared(size, Preparation::described).await?.given())
    }

    /// One step, whose output is kept as [`PREDICTION`].
    pub fn step(&self, size: StepSize, given: &Given, policy: &PolicyStep) -> Result<Graph> {
        size.check()?;
        let mut graph = Graph::new();
        let latents = graph.stored(LATENTS, &self.latents(size), Element::F32);
        let step = graph.stored(STEP, &[step_row::LEN], Element::F32);
        let noisy = Noisy { latents, scaled: false, step, batch: size.batch };
        let output = self.denoiser.forward(&mut graph, noisy, given, policy)?;
        graph.store(output, PREDICTION);
        Ok(graph)
    }

    /// Its weights on a device.
    pub async fn load<A: Answer>(&self, device: &Device, progress: impl FnMut(Progress<'_>) -> A) -> Result<Store> {
        model::upload(device, std::slice::from_ref(&self.loader), progress).await
    }

    /// Stores random inputs for steps of this size, in the middle of the timesteps. The tables of a policy, where it
    /// has any, are the caller's to store.
    pub async fn insert_inputs(&self, device: &Device, store: &mut Store, size: StepSize) -> Result<()> {
        size.check()?;
        let shape = self.latents(size);
        Room::on(device.caps()).tensor(LATENTS, &shape)?;
        let noise = Generator::manual_seed(0).randn(shape.iter().product());
        let mut row = [0.0; step_row::LEN];
        (row[step_row::TIMESTEP], row[step_row::INPUT_SCALE]) = (500.0, 1.0);
        store.insert(device, STEP, &Tensor::new(&[row.len()], row.to_vec())?).await?;
        store.insert(device, LATENTS, &Tensor::new(&shape, noise)?).await?;
        run_once(device, store, &self.prepared(size, |made| made).await?).await
    }

    async fn prepared(&self, size: StepSize, how: impl FnOnce(Preparation) -> Preparation) -> Result<Preparation> {
        size.check()?;
        let mut preparation = how(self.denoiser.stand_in(size.batch, size.text)?);
        // The size of the picture, where it is a condition, changes no cost.
        let canvas = Canvas { pixels: size.latents, latents: size.latents, grid: self.grid(size.latents)? };
        self.denoiser.prepare(&mut preparation, canvas).await?;
        Ok(preparation)
    }

    /// Shape of the latents, which all samples of the batch share.
    fn latents(&self, size: StepSize) -> [usize; 4] {
        [1, self.denoiser.sizes().channels, size.latents.height, size.latents.width]
    }
}
