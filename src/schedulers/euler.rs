//! Euler's method on the probability flow, in samples whose noise level σ is unbounded: x = image + σ·noise (arXiv
//! 2206.00364, algorithm 2 without churn). After diffusers' scheduling_euler_discrete.py.

use serde_json::Value;

use super::{
    Level, MOST_STEPS, Schedule, Scheduler, Step,
    betas::{self, Noising},
    check_steps,
    config::Fields,
    numpy,
    prediction::Prediction,
    sigmas::{self, Curves},
    timesteps::{Spacing, Timesteps},
};
use crate::Result;

pub(super) const CLASS: &str = "EulerDiscreteScheduler";

const PREDICTIONS: [(&str, Prediction); 4] = [
    ("epsilon", Prediction::Noise),
    ("sample", Prediction::Image),
    ("original_sample", Prediction::Image),
    ("v_prediction", Prediction::Velocity),
];

#[derive(Debug)]
pub(super) struct Euler {
    noising: Noising,
    timesteps: Timesteps,
    prediction: Prediction,
    curves: Curves,
    /// σ even in its logarithm over the model's range, whatever the timesteps.
    log_linear: bool,
    /// The model receives log σ / 4 instead of a timestep.
    continuous: bool,
    /// The last σ is the model's smallest, not zero.
    ends_at_min: bool,
}

/// Reads `final_sigmas_type`: whether the last σ is the model's smallest instead of zero.
pub(super) fn read_ends_at_min(fields: &mut Fields) -> Result<bool> {
    fields.choice("final_sigmas_type", "zero", &[("zero", false), ("sigma_min", true)])
}

impl Euler {
    pub(super) fn read(file: &str, json: &Value) -> Result<Self> {
        let mut fields = Fields::new(file, CLASS, json)?;
        let continuous = fields.choice("timestep_type", "discrete", &[("discrete", false), ("continuous", true)])?;
        let prediction = fields.choice("prediction_type", "epsilon", &PREDICTIONS)?;
        let this = Self {
            noising: Noising::read(&mut fields, &betas::CURVES)?.with_finite_sigmas(),
            timesteps: Timesteps::read(&mut fields, "linspace")?,
            prediction,
            curves: Curves::read(&mut fields)?,
            log_linear: fields.choice("interpolation_type", "linear", &[("linear", false), ("log_linear", true)])?,
            // diffusers' other predictions keep their timesteps.
            continuous: continuous && prediction == Prediction::Velocity,
            ends_at_min: read_ends_at_min(&mut fields)?,
        };
        fields.finish()?;
        Ok(this)
    }

    /// The timesteps, and the levels σ before each and after the last.
    fn levels(&self, steps: usize) -> (Vec<f32>, Vec<f32>) {
        let train = self.train_timesteps();
        let known = self.noising.sigmas();
        let logs = sigmas::logs(&known);
        let stride = train as f64 / steps as f64;
        let mut timesteps: Vec<f32> =
            self.timesteps.descending(train, steps, stride).into_iter().map(|t| t as f32).collect();
        let mut levels: Vec<f64> = match self.log_linear {
            false => timesteps.iter().map(|&t| numpy::interpolate(t.into(), &known)).collect(),
            // One more than there are steps: the last step goes to the smallest, and zero is never reached.
            true => {
                let even = numpy::linspace_f32(logs[train - 1], logs[0], steps + 1);
                even.into_iter().map(|log| f64::from(numpy::exp(log))).collect()
            }
        };
        if let Some(curve) = self.curves.levels(levels[0], levels[levels.len() - 1], steps) {
            timesteps = curve.iter().map(|&sigma| sigmas::timestep_of(sigma, &logs) as f32).collect();
            levels = curve;
        }
        let last = if self.ends_at_min { known[0] } else { 0.0 };
        let levels: Vec<f32> = levels.into_iter().map(|sigma| sigma as f32).chain([last]).collect();
        if self.continuous {
            timesteps = levels[..timesteps.len()].iter().map(|&sigma| 0.25 * numpy::log(sigma)).collect();
        }
        (timesteps, levels)
    }

    /// From level `sigma` to level `next`.
    fn step(&self, timestep: f32, sigma: f32, next: f32) -> Step {
        // The same sample at unit variance is α·x.
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        let image = self.prediction.image(alpha, sigma * alpha);
        let image_sample = if self.prediction == Prediction::Noise { 1.0 } else { image.sample * alpha };
        let ratio = (next - sigma) / sigma;
        // x' = x + (x − m)·ratio, and for a noise prediction x − m is σ·g without the detour.
        let (sample, output, current) = match self.prediction {
            Prediction::Noise => (1.0, next - sigma, 0.0),
            _ => (1.0 + ratio, 0.0, -ratio),
        };
        Step {
            input_scale: alpha,
            convert_sample: image_sample,
            convert_output: image.output,
            sample,
            output,
            current,
            ..Step::at(timestep)
        }
    }
}

impl Scheduler for Euler {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn train_timesteps(&self) -> usize {
        self.noising.train_timesteps()
    }

    fn schedule(&self, steps: usize) -> Result<Schedule> {
        check_steps(CLASS, steps, MOST_STEPS)?;
        let (timesteps, levels) = self.levels(steps);
        let steps: Vec<Step> =
            timesteps.iter().zip(levels.windows(2)).map(|(&t, pair)| self.step(t, pair[0], pair[1])).collect();
        let starts = levels[..steps.len()].iter().map(|&sigma| Level { image: 1.0, noise: sigma }).collect();
        let highest = levels.into_iter().fold(0.0, f32::max);
        let init_noise_sigma = match self.timesteps.spacing {
            Spacing::Leading => (highest * highest + 1.0).sqrt(),
            Spacing::Linspace | Spacing::Trailing => highest,
        };
        Schedule::new(CLASS, steps, starts, init_noise_sigma)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exact_noise_leads_to_the_exact_image() {
        for prediction in ["epsilon", "sample", "v_prediction"] {
            let euler = Euler::read("c.json", &json!({"prediction_type": prediction})).unwrap();
            let schedule = euler.schedule(12).unwrap();
            let (image, noise) = (0.4_f32, 0.9_f32);
            let mut x = image + schedule.init_noise_sigma * noise;
            for step in &schedule.steps {
                let alpha = step.input_scale;
                let sigma = (1.0 - alpha * alpha).sqrt();
                let g = match prediction {
                    "epsilon" => noise,
                    "sample" => image,
                    _ => alpha * noise - sigma * image,
                };
                x = step.apply(x, g, [0.0; 2], 0.0).0;
            }
            assert!((x - image).abs() < 1e-3, "{prediction}: {x}");
        }
    }

    #[test]
    fn log_linear_levels_stop_above_zero() {
        let euler = Euler::read("c.json", &json!({"interpolation_type": "log_linear"})).unwrap();
        let (timesteps, levels) = euler.levels(4);
        assert_eq!((timesteps.len(), levels.len()), (4, 6));
        assert!(levels[4] > 0.0);
        assert_eq!(euler.schedule(4).unwrap().steps.len(), 4);
    }
}
