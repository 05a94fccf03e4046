//! `DiTPipeline` of diffusers: how it draws, and how its classes are given.

use super::{Config, DiT};
use crate::kernels::Guidance;
use crate::loading::Loader;
use crate::models::{Batch, Conditioner, Draws, Family, Habits, Opening, Preparation, Transformer};
use crate::schedulers::{Schedule, Scheduler};
use crate::shared::Work;
use crate::{Request, Result, Tensor, Warning};

/// Stored: the classes of the batch, one label a sample.
pub(super) const LABELS: &str = "labels";
/// The label that stands for "no class" in diffusers' pipeline, whatever the number of classes.
pub(super) const NULL_LABEL: u32 = 1000;

/// DiT (arXiv 2212.09748).
#[derive(Clone, Copy, Debug)]
pub struct DitFamily;

impl Family for DitFamily {
    fn pipelines(&self) -> &'static [&'static str] {
        &["DiTPipeline"]
    }

    fn name(&self) -> &'static str {
        "dit"
    }

    fn habits(&self, _pipeline: &str) -> Habits {
        Habits {
            draws: Draws::Classes,
            steps: 50,
            guidance: 4.0,
            order: Guidance::CondFirst,
            draws_for_both_halves: true,
            prompt_tokens: 0,
        }
    }

    fn transformer<'a>(&'a self, opening: Opening<'a>) -> Work<'a, Transformer> {
        Box::pin(opening.transformer(Config::read, DiT::load))
    }

    fn conditioner<'a>(&'a self, _opening: Opening<'a>) -> Work<'a, (Box<dyn Conditioner>, Vec<Loader>)> {
        Box::pin(async { Ok((Box::new(Labels) as Box<dyn Conditioner>, Vec::new())) })
    }

    /// diffusers' `DiTPipeline` neither scales its first noise by the initial sigma, nor steps from the unscaled
    /// sample. Only Euler's pictures depend on it.
    fn schedule(&self, _pipeline: &str, scheduler: &dyn Scheduler, steps: usize) -> Result<Schedule> {
        let schedule = scheduler.schedule(steps)?.from_scaled_input();
        Ok(Schedule { init_noise_sigma: 1.0, ..schedule })
    }
}

/// Classes by number. Their embeddings lie in the transformer's own tables.
#[derive(Debug)]
struct Labels;

impl Conditioner for Labels {
    fn condition<'a>(
        &'a self,
        request: &'a Request,
        batch: Batch,
        preparation: &'a mut Preparation,
    ) -> Work<'a, Vec<Warning>> {
        Box::pin(async move {
            let mut labels = vec![request.class.unwrap_or_default(); batch.pictures];
            if batch.guided {
                labels.resize(2 * batch.pictures, NULL_LABEL);
            }
            preparation.input(LABELS, Tensor::indices(&[labels.len()], labels)?);
            Ok(Vec::new())
        })
    }
}
