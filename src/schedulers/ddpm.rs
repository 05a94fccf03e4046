//! DDPM (arXiv 2006.11239, equation 7): every step samples the posterior between guessed image and sample. After
//! diffusers' scheduling_ddpm.py.

use serde_json::Value;

use super::{
    Schedule, Scheduler, Step,
    betas::{self, Noising},
    beyond_training, check_steps,
    config::Fields,
    ddim::read_clip,
    numpy,
    prediction::{PREDICTIONS, Prediction},
    timesteps::Timesteps,
};
use crate::Result;

pub(super) const CLASS: &str = "DDPMScheduler";

/// A `variance_type`. The learned ones need the model's second output, which the pipelines drop; fixed_large_log is the
/// root of a logarithm below zero.
#[derive(Clone, Copy, Debug)]
enum Variance {
    Small,
    /// The same by way of a logarithm.
    SmallLog,
    Large,
}

const VARIANCES: [(&str, Variance); 4] = [
    ("fixed_small", Variance::Small),
    ("fixed_small_log", Variance::SmallLog),
    ("fixed_large", Variance::Large),
    // As carried over from a DPMSolverMultistepScheduler.
    ("null", Variance::Small),
];

#[derive(Debug)]
pub(super) struct Ddpm {
    noising: Noising,
    timesteps: Timesteps,
    prediction: Prediction,
    /// The largest magnitude of a guessed image.
    clip: Option<f32>,
    variance: Variance,
}

impl Ddpm {
    pub(super) fn read(file: &str, json: &Value) -> Result<Self> {
        let mut fields = Fields::new(file, CLASS, json)?;
        fields.no_thresholding()?;
        let this = Self {
            noising: Noising::read(&mut fields, &betas::DDPM_CURVES)?,
            timesteps: Timesteps::read(&mut fields, "leading")?,
            prediction: fields.choice("prediction_type", "epsilon", &PREDICTIONS)?,
            clip: read_clip(&mut fields)?,
            variance: fields.choice("variance_type", "fixed_small", &VARIANCES)?,
        };
        fields.finish()?;
        Ok(this)
    }

    /// From `timestep` to `next`, −1 being the image. f32 as in diffusers: β = 1 − α of a short step is mostly
    /// rounding.
    fn step(&self, timestep: i64, next: i64) -> Option<Step> {
        let bar = self.noising.at(timestep)?;
        let bar_next = if next < 0 { 1.0 } else { self.noising.at(next)? };
        let alpha_step = bar / bar_next;
        let beta_step = 1.0 - alpha_step;
        let mut image = self.prediction.image(bar.sqrt(), (1.0 - bar).sqrt());
        if self.clip.is_some() {
            image = image.for_clamping();
        }
        let small = ((1.0 - bar_next) / (1.0 - bar) * beta_step).max(1e-20);
        let deviation = match self.variance {
            Variance::Small => small.sqrt(),
            Variance::SmallLog => numpy::exp(0.5 * numpy::log(small)),
            Variance::Large => beta_step.sqrt(),
        };
        let draws = timestep > 0;
        Some(Step {
            convert_sample: image.sample,
            convert_output: image.output,
            clip: self.clip.unwrap_or(f32::MAX),
            sample: alpha_step.sqrt() * (1.0 - bar_next) / (1.0 - bar),
            current: bar_next.sqrt() * beta_step / (1.0 - bar),
            noise: if draws { deviation } else { 0.0 },
            draws: draws.into(),
            ..Step::at(timestep as f32)
        })
    }
}

impl Scheduler for Ddpm {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn train_timesteps(&self) -> usize {
        self.noising.train_timesteps()
    }

    fn schedule(&self, steps: usize) -> Result<Schedule> {
        let train = self.train_timesteps();
        check_steps(CLASS, steps, train)?;
        let timesteps = self.timesteps.whole(train, steps);
        let following = timesteps[1..].iter().chain([&-1]);
        let step =
            |(&timestep, &next)| self.step(timestep, next).ok_or_else(|| beyond_training(CLASS, timestep, train));
        let steps = timesteps.iter().zip(following).map(step).collect::<Result<_>>()?;
        Schedule::new(CLASS, steps, self.noising.levels(&timesteps), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn noise_is_drawn_until_timestep_zero() {
        let draws = |json| Ddpm::read("c.json", &json).unwrap().schedule(4).unwrap().draws_noise();
        assert_eq!(draws(json!({})), 3);
        // Here the last timestep is 249: noise of deviation 1e-10 is drawn after it.
        assert_eq!(draws(json!({"timestep_spacing": "trailing"})), 4);
    }

    #[test]
    fn variances_are_posterior_or_prior() {
        let noise =
            |kind| Ddpm::read("c.json", &json!({"variance_type": kind})).unwrap().schedule(4).unwrap().steps[1].noise;
        assert!((noise("fixed_small") - noise("fixed_small_log")).abs() < 1e-6);
        assert!(noise("fixed_small") < noise("fixed_large"));
        assert!(Ddpm::read("c.json", &json!({"variance_type": "learned"})).is_err());
    }
}
