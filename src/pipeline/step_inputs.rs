//! What a step needs from outside its plan: its row of the schedule and its noise. Both are on the device before the
//! loop starts, with a copy prepared for each step.

use super::names::{NOISE, STEP};
use crate::Result;
use crate::device::{Buffer, Copy, Device, Program, Store};
use crate::kernels::step_row;
use crate::rng::Generator;
use crate::schedulers::Schedule;

/// A program for each step, which puts the step's inputs where its plan reads them.
#[derive(Debug)]
pub(super) struct StepInputs(Vec<Box<dyn Program>>);

impl StepInputs {
    /// Draws the noise of all steps, `count` numbers each. The generator is asked for `draws` times as many.
    pub async fn new(
        device: &Device,
        store: &Store,
        schedule: &Schedule,
        guidance: Option<f32>,
        generator: &mut Generator,
        [count, draws]: [usize; 2],
    ) -> Result<Self> {
        let (mut rows, mut noise) = (Vec::new(), Vec::new());
        for (index, step) in schedule.steps.iter().enumerate() {
            let mut row: [f32; step_row::LEN] = bytemuck::cast(*step);
            row[step_row::GUIDANCE] = guidance.unwrap_or(1.0);
            row[step_row::NUMBER] = (index + 1) as f32;
            let after = schedule.level_after(index);
            (row[step_row::KNOWN], row[step_row::KNOWN_NOISE]) = (after.image, after.noise);
            rows.extend(row);
            if step.draws_noise() {
                noise.extend_from_slice(&generator.randn(count * draws)[..count]);
            }
        }
        let rows = upload(device, &rows, "schedule").await?;
        let noise = if noise.is_empty() { None } else { Some(upload(device, &noise, "noise of every step").await?) };
        let (mut programs, mut drawn) = (Vec::new(), 0);
        for (index, step) in schedule.steps.iter().enumerate() {
            let mut copies = vec![copy(&rows, index, store.buffer(STEP)?)];
            if let (Some(noise), true) = (&noise, step.draws_noise()) {
                copies.push(copy(noise, drawn, store.buffer(NOISE)?));
                drawn += 1;
            }
            programs.push(device.copies(copies)?);
        }
        Ok(Self(programs))
    }

    /// The program of step `index`.
    pub fn of(&self, index: usize) -> &dyn Program {
        self.0[index].as_ref()
    }
}

/// Copies piece `index` of `from` over all of `to`.
fn copy(from: &Buffer, index: usize, to: &Buffer) -> Copy {
    let bytes = to.size();
    Copy { from: from.clone(), offset: index as u64 * bytes, to: to.clone(), bytes }
}

async fn upload(device: &Device, values: &[f32], what: &str) -> Result<Buffer> {
    let buffer = device.allocate(4 * values.len() as u64, what).await?;
    device.write(&buffer, 0, bytemuck::cast_slice(values))?;
    Ok(buffer)
}
