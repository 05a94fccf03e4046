//! What a step needs from outside the plan: its row of the schedule and its noise, on the device before the loop starts.

use crate::Result;
use crate::device::{Buffer, Copy, Device, Program, Store};
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
    /// Per step, the copies that put its row, and its noise, where the plan reads them.
    copies: Vec<Box<dyn Program>>,
}

impl StepInputs {
    /// Draws the noise of all steps: `count` numbers each, of `drawn` that the generator is asked for.
    pub async fn new(
        gpu: &Device,
        store: &Store,
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
        let copy = |from: &Buffer, index: usize, name: &str| -> Result<Copy> {
            let to = store.buffer(name)?.clone();
            let bytes = to.size();
            Ok(Copy { from: from.clone(), offset: index as u64 * bytes, to, bytes })
        };
        let mut copies = Vec::new();
        for (index, draw) in noise_of.into_iter().enumerate() {
            let mut of_step = vec![copy(&table, index, STEP)?];
            if let (Some(noise), Some(draw)) = (&noise, draw) {
                of_step.push(copy(noise, draw, NOISE)?);
            }
            copies.push(gpu.copies(of_step)?);
        }
        Ok(Self { copies })
    }

    /// The copies of a step.
    pub fn copies(&self, index: usize) -> &dyn Program {
        &*self.copies[index]
    }
}

async fn upload(gpu: &Device, values: &[f32], what: &str) -> Result<Buffer> {
    let buffer = gpu.allocate(4 * values.len() as u64, what).await?;
    gpu.write(&buffer, 0, bytemuck::cast_slice(values))?;
    Ok(buffer)
}
