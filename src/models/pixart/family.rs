//! `PixArtAlphaPipeline` and `PixArtSigmaPipeline` of diffusers: how they draw, and how their prompts are given.

use super::{Config, PixArt};
use crate::Result;
use crate::kernels::Guidance;
use crate::loading::Loader;
use crate::models::t5::Prompts;
use crate::models::{Conditioner, Draws, Family, Habits, Opening, Transformer};
use crate::schedulers::{DPM_SOLVER, Schedule, Scheduler};
use crate::shared::Work;

const ALPHA: &str = "PixArtAlphaPipeline";

/// PixArt-α and PixArt-Σ (arXiv 2310.00426, 2403.04692).
#[derive(Clone, Copy, Debug)]
pub struct PixArtFamily;

impl Family for PixArtFamily {
    fn pipelines(&self) -> &'static [&'static str] {
        &[ALPHA, "PixArtSigmaPipeline"]
    }

    fn name(&self) -> &'static str {
        "pixart"
    }

    fn habits(&self, pipeline: &str) -> Habits {
        Habits {
            draws: Draws::Prompts,
            steps: 20,
            guidance: 4.5,
            order: Guidance::UncondFirst,
            draws_for_both_halves: false,
            prompt_tokens: if pipeline == ALPHA { 120 } else { 300 },
        }
    }

    fn transformer<'a>(&'a self, opening: Opening<'a>) -> Work<'a, Transformer> {
        Box::pin(opening.transformer(Config::read, PixArt::load))
    }

    fn conditioner<'a>(&'a self, opening: Opening<'a>) -> Work<'a, (Box<dyn Conditioner>, Vec<Loader>)> {
        Box::pin(async move {
            let most = self.habits(&opening.folder.pipeline).prompt_tokens;
            let (prompts, loaders) = Prompts::open(opening, most).await?;
            Ok((Box::new(prompts) as Box<dyn Conditioner>, loaders))
        })
    }

    /// With a single step diffusers' PixArt-α decodes the predicted sample instead of the stepped one. (With DPM-Solver
    /// it fails there.)
    fn schedule(&self, pipeline: &str, scheduler: &dyn Scheduler, steps: usize) -> Result<Schedule> {
        let schedule = scheduler.schedule(steps)?;
        let predicted = pipeline == ALPHA && schedule.steps.len() == 1 && scheduler.class() != DPM_SOLVER;
        Ok(if predicted { schedule.predicted() } else { schedule })
    }
}
