//! Euler's method on the straight line from image to noise, x = (1 − σ)·image + σ·noise (arXiv 2403.03206). After
//! diffusers' scheduling_flow_match_euler_discrete.py.

use serde_json::Value;

use super::{
    Level, MOST_STEPS, Schedule, Scheduler, Step, check_steps, config::Fields, numpy, prediction::Prediction,
    sigmas::Curves,
};
use crate::Result;

pub(super) const CLASS: &str = "FlowMatchEulerDiscreteScheduler";

#[derive(Debug)]
pub(super) struct FlowMatch {
    train: usize,
    /// How much longer the run stays noisy: σ becomes shift·σ / (1 + (shift − 1)·σ).
    shift: f64,
    /// The smallest σ, by stretching.
    terminal: Option<f64>,
    curves: Curves,
    /// σ counts the image instead of the noise.
    inverted: bool,
    /// Every step noises the guessed image anew.
    stochastic: bool,
}

impl FlowMatch {
    pub(super) fn read(file: &str, json: &Value) -> Result<Self> {
        let mut fields = Fields::new(file, CLASS, json)?;
        if fields.flag("use_dynamic_shifting", false)? {
            let why = "the pipelines here compute no shift from the image's size";
            return Err(fields.refuse("use_dynamic_shifting", &true.into(), why));
        }
        let this = Self {
            train: fields.train_timesteps()?,
            shift: fields.number("shift", 1.0)?,
            // Zero is none, as in Python.
            terminal: fields.optional("shift_terminal")?.filter(|&sigma| sigma != 0.0),
            curves: Curves::read(&mut fields)?,
            inverted: fields.flag("invert_sigmas", false)?,
            stochastic: fields.flag("stochastic_sampling", false)?,
        };
        fields.finish()?;
        Ok(this)
    }

    /// The levels before each step.
    fn levels(&self, steps: usize) -> Vec<f32> {
        let train = self.train as f64;
        // The model's range is shifted in f32, and what lies between its ends is shifted once more.
        let shifted = |timestep: usize| {
            let (shift, sigma) = (self.shift as f32, timestep as f32 / self.train as f32);
            f64::from(shift * sigma / (1.0 + (self.shift - 1.0) as f32 * sigma)) * train
        };
        let mut levels: Vec<f64> = numpy::linspace(shifted(self.train), shifted(1), steps)
            .into_iter()
            .map(|timestep| timestep / train)
            .map(|sigma| self.shift * sigma / (1.0 + (self.shift - 1.0) * sigma))
            .collect();
        if let Some(terminal) = self.terminal {
            let scale = (1.0 - levels[steps - 1]) / (1.0 - terminal);
            levels.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
        }
        let levels = self.curves.levels(levels[0], levels[steps - 1], steps).unwrap_or(levels);
        levels.into_iter().map(|sigma| sigma as f32).collect()
    }

    /// From level `sigma` to level `next`.
    fn step(&self, sigma: f32, next: f32) -> Step {
        let image = Prediction::Flow.image(1.0 - sigma, sigma);
        let step =
            Step { convert_sample: image.sample, convert_output: image.output, ..Step::at(sigma * self.train as f32) };
        match self.stochastic {
            false => Step { sample: 1.0, output: next - sigma, ..step },
            true => Step { current: 1.0 - next, noise: next, draws: 1, ..step },
        }
    }
}

impl Scheduler for FlowMatch {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn train_timesteps(&self) -> usize {
        self.train
    }

    fn schedule(&self, steps: usize) -> Result<Schedule> {
        check_steps(CLASS, steps, MOST_STEPS)?;
        let mut levels = self.levels(steps);
        if self.inverted {
            levels.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
        }
        let starts = levels.iter().map(|&sigma| Level { image: 1.0 - sigma, noise: sigma }).collect();
        levels.push(if self.inverted { 1.0 } else { 0.0 });
        Schedule::new(CLASS, levels.windows(2).map(|pair| self.step(pair[0], pair[1])).collect(), starts, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exact_flow_leads_to_the_exact_image() {
        let flow = FlowMatch::read("c.json", &json!({"shift": 3.0})).unwrap();
        let (image, noise) = (0.4_f32, 0.9_f32);
        let steps = flow.schedule(8).unwrap().steps;
        let x = steps.iter().fold(noise, |x, step| step.apply(x, noise - image, [0.0; 2], 0.0).0);
        assert!((x - image).abs() < 1e-6, "{x}");
    }

    #[test]
    fn the_terminal_is_met() {
        let flow = FlowMatch::read("c.json", &json!({"shift_terminal": 0.1})).unwrap();
        assert_eq!(flow.levels(5)[4], 0.1);
        // A single level cannot both start at one and end there.
        assert!(flow.schedule(1).is_err());
    }

    #[test]
    fn dynamic_shifting_is_refused() {
        let error = FlowMatch::read("c.json", &json!({"use_dynamic_shifting": true})).unwrap_err().to_string();
        assert!(error.starts_with("c.json: use_dynamic_shifting = true"), "{error}");
    }
}
