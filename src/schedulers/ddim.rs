//! DDIM without noise, η = 0 (arXiv 2010.02502, equation 12): the image is guessed, and noised again to the level of
//! the next timestep with the noise just predicted. After diffusers' scheduling_ddim.py.

use serde_json::Value;

use super::{
    Schedule, Scheduler, Step,
    betas::{self, Noising},
    beyond_training, check_steps,
    config::Fields,
    prediction::{PREDICTIONS, Prediction},
    timesteps::Timesteps,
};
use crate::Result;

pub(super) const CLASS: &str = "DDIMScheduler";

#[derive(Debug)]
pub(super) struct Ddim {
    noising: Noising,
    timesteps: Timesteps,
    prediction: Prediction,
    /// The largest magnitude of a guessed image.
    clip: Option<f32>,
    /// ᾱ after the last step.
    final_alpha: f32,
}

/// Reads `clip_sample` and `clip_sample_range`.
pub(super) fn read_clip(fields: &mut Fields) -> Result<Option<f32>> {
    let range = fields.number("clip_sample_range", 1.0)?;
    match fields.flag("clip_sample", true)? {
        false => Ok(None),
        true if range > 0.0 => Ok(Some(range as f32)),
        true => Err(fields.refuse("clip_sample_range", &range.into(), "it must be positive")),
    }
}

impl Ddim {
    pub(super) fn read(file: &str, json: &Value) -> Result<Self> {
        let mut fields = Fields::new(file, CLASS, json)?;
        fields.no_thresholding()?;
        let noising = Noising::read(&mut fields, &betas::CURVES)?;
        let ends_clean = fields.flag("set_alpha_to_one", true)?;
        let this = Self {
            timesteps: Timesteps::read(&mut fields, "leading")?,
            prediction: fields.choice("prediction_type", "epsilon", &PREDICTIONS)?,
            clip: read_clip(&mut fields)?,
            final_alpha: if ends_clean { 1.0 } else { noising.alphas_cumprod[0] },
            noising,
        };
        fields.finish()?;
        Ok(this)
    }
}

impl Scheduler for Ddim {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn train_timesteps(&self) -> usize {
        self.noising.train_timesteps()
    }

    fn schedule(&self, steps: usize) -> Result<Schedule> {
        let train = self.train_timesteps();
        check_steps(CLASS, steps, train)?;
        let step = |timestep: i64| {
            // Whatever the spacing, the next level is a whole stride below.
            let next = timestep - (train / steps) as i64;
            let bar = self.noising.at(timestep).ok_or_else(|| beyond_training(CLASS, timestep, train))?;
            let bar_next = if next < 0 { self.final_alpha } else { self.noising.at(next).unwrap_or(self.final_alpha) };
            let (alpha, sigma) = (bar.sqrt(), (1.0 - bar).sqrt());
            let mut image = self.prediction.image(alpha, sigma);
            if self.clip.is_some() {
                image = image.for_clamping();
            }
            let noise = self.prediction.noise(alpha, sigma);
            let level = (1.0 - bar_next).sqrt();
            Ok(Step {
                convert_sample: image.sample,
                convert_output: image.output,
                clip: self.clip.unwrap_or(f32::MAX),
                sample: level * noise.sample,
                output: level * noise.output,
                current: bar_next.sqrt(),
                ..Step::at(timestep as f32)
            })
        };
        let timesteps = self.timesteps.whole(train, steps);
        let steps = timesteps.iter().map(|&timestep| step(timestep)).collect::<Result<_>>()?;
        Schedule::new(CLASS, steps, self.noising.levels(&timesteps), 1.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_step_leaves_the_image() {
        let schedule = Ddim::read("c.json", &json!({})).unwrap().schedule(10).unwrap();
        let last = schedule.steps[9];
        assert_eq!((last.timestep, last.current, last.output, schedule.draws_noise()), (0.0, 1.0, 0.0, 0));
    }

    #[test]
    fn an_offset_beyond_the_training_is_an_error() {
        let ddim = Ddim::read("c.json", &json!({"steps_offset": 1})).unwrap();
        let message = ddim.schedule(1000).unwrap_err().to_string();
        assert_eq!(message, "DDIMScheduler would step to timestep 1000; the model was trained with 0 … 999");
    }

    #[test]
    fn unclipped_noise_prediction_at_zero_snr_is_an_error() {
        let config =
            |clip| json!({"rescale_betas_zero_snr": true, "timestep_spacing": "trailing", "clip_sample": clip});
        assert!(Ddim::read("c.json", &config(true)).unwrap().schedule(4).is_ok());
        assert!(Ddim::read("c.json", &config(false)).unwrap().schedule(4).is_err());
    }
}
