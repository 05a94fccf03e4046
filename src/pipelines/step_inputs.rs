//! What a step needs from outside the plan: its row of the schedule and its noise, on the GPU before the loop starts.

use crate::Result;
use crate::gpu::{Buffer, Command, Gpu, Recording};
use crate::graph::Store;
use crate::kernels::step_row;
use crate::rng::Generator;
use crate::schedulers::Schedule;

/// Stored: this step's row of the schedule.
pub(super) const STEP: &str = "step";
/// Stored: what a stochastic step draws, `[L, C, H, W]`.
pub(super) const NOISE: &str = "noise";

/// One row of 64 bytes per step, and one z per step that draws.
#[derive(Debug)]
pub(super) struct StepInputs {
    table: Buffer,
    noise: Option<Buffer>,
    noise_of: Vec<Option<usize>>,
}

impl StepInputs {
    /// Draws the noise of all steps: `count` numbers each, of `drawn` that the generator is asked for.
    pub async fn new(
        gpu: &Gpu,
        schedule: &Schedule,
        guidance: Option<f32>,
        generator: &mut Generator,
        [count, drawn]: [usize; 2],
    ) -> Result<Self> {
        let (mut rows, mut draws, mut noise_of) = (Vec::new(), Vec::new(), Vec::new());
        for step in &schedule.steps {
            let mut row: [f32; step_row::LEN] = bytemuck::cast(*step);
            row[step_row::GUIDANCE] = guidance.unwrap_or(1.0);
            rows.extend(row);
            noise_of.push(step.draws_noise().then_some(draws.len() / count));
            if step.draws_noise() {
                draws.extend_from_slice(&generator.randn(drawn)[..count]);
            }
        }
        let table = upload(gpu, &rows, "schedule").await?;
        let noise = match draws.is_empty() {
            true => None,
            false => Some(upload(gpu, &draws, "noise of every step").await?),
        };
        Ok(Self { table, noise, noise_of })
    }

    /// The copies that put a step's row, and its noise, where the plan reads them.
    pub fn copies(&self, store: &Store, index: usize) -> Result<Recording> {
        let mut recording = Recording::default();
        let mut copy = |from: &Buffer, index: usize, name: &str| -> Result<()> {
            let to = store.buffer(name)?.clone();
            let bytes = to.size();
            recording.push("inputs", Command::Copy { from: from.clone(), offset: index as u64 * bytes, to, bytes });
            Ok(())
        };
        copy(&self.table, index, STEP)?;
        if let (Some(noise), Some(draw)) = (&self.noise, self.noise_of[index]) {
            copy(noise, draw, NOISE)?;
        }
        Ok(recording)
    }
}

async fn upload(gpu: &Gpu, values: &[f32], what: &str) -> Result<Buffer> {
    let buffer = gpu.buffer(4 * values.len() as u64, what).await?;
    gpu.write(&buffer, 0, bytemuck::cast_slice(values));
    Ok(buffer)
}
