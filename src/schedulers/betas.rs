//! How much of the image is left after t of T training timesteps: ᾱ_t = ∏ (1 − β_s), from the `beta_*` fields.
//!
//! Everything here is f32 in torch's order of operations. Near t = 0 the noise level is 1 − ᾱ with ᾱ just below one,
//! where one unit in the last place of ᾱ is a thousandth of the result.

use std::f64::consts::PI;

use super::{Level, config::Fields, numpy};
use crate::Result;

/// A `beta_schedule`.
#[derive(Clone, Copy, Debug)]
pub enum Curve {
    /// β even from its first to its last.
    Linear,
    /// √β even.
    ScaledLinear,
    /// ᾱ falls as a squared cosine (arXiv 2102.09672).
    Cosine,
    /// The logarithm of the signal-to-noise ratio follows a Laplace distribution (arXiv 2407.03297).
    Laplace,
    /// β follows a sigmoid (arXiv 2203.02923).
    Sigmoid,
}

/// What every class implements.
pub const CURVES: [(&str, Curve); 3] =
    [("linear", Curve::Linear), ("scaled_linear", Curve::ScaledLinear), ("squaredcos_cap_v2", Curve::Cosine)];

/// What DDPM alone implements as well.
pub const DDPM_CURVES: [(&str, Curve); 5] =
    [CURVES[0], CURVES[1], CURVES[2], ("laplace", Curve::Laplace), ("sigmoid", Curve::Sigmoid)];

/// The forward process of a trained model.
#[derive(Debug)]
pub struct Noising {
    /// ᾱ_t for t = 0 … T−1.
    pub alphas_cumprod: Vec<f32>,
    /// Whether ᾱ was stretched to end at zero.
    pub rescaled: bool,
}

impl Noising {
    /// Reads the `beta` fields and `num_train_timesteps`.
    pub fn read(fields: &mut Fields, curves: &[(&str, Curve)]) -> Result<Self> {
        let count = fields.train_timesteps()?;
        let (start, end) = (fields.number("beta_start", 0.0001)?, fields.number("beta_end", 0.02)?);
        let curve = fields.choice("beta_schedule", "linear", curves)?;
        let mut betas = match fields.numbers("trained_betas")? {
            None => curve.betas(start, end, count),
            Some(betas) if betas.len() == count => betas.into_iter().map(|beta| beta as f32).collect(),
            Some(betas) => {
                let why = format!("num_train_timesteps = {count} values are needed");
                return Err(fields.refuse("trained_betas", &betas.into(), &why));
            }
        };
        let rescaled = fields.flag("rescale_betas_zero_snr", false)?;
        if rescaled {
            betas = rescale_to_zero_snr(&betas);
        }
        Ok(Self { alphas_cumprod: remaining(&betas), rescaled })
    }

    /// As Euler and DPM-Solver want it: a rescaled ᾱ ends just above zero, at the smallest f16, so that σ is finite.
    pub fn with_finite_sigmas(mut self) -> Self {
        if self.rescaled
            && let Some(last) = self.alphas_cumprod.last_mut()
        {
            *last = 2.0_f32.powi(-24);
        }
        self
    }

    /// T.
    pub fn train_timesteps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// ᾱ_t, indexed as in Python: −1 is the last. `None` beyond the ends.
    pub fn at(&self, timestep: i64) -> Option<f32> {
        let index = if timestep < 0 { timestep + self.alphas_cumprod.len() as i64 } else { timestep };
        self.alphas_cumprod.get(usize::try_from(index).ok()?).copied()
    }

    /// What samples of these timesteps consist of, as far as the model was trained with them.
    pub fn levels(&self, timesteps: &[i64]) -> Vec<Level> {
        let bars = timesteps.iter().map_while(|&timestep| self.at(timestep));
        bars.map(|bar| Level { image: bar.sqrt(), noise: (1.0 - bar).sqrt() }).collect()
    }

    /// σ_t = √((1 − ᾱ_t) / ᾱ_t), the noise level relative to the image, for t = 0 … T−1.
    pub fn sigmas(&self) -> Vec<f32> {
        self.alphas_cumprod.iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect()
    }
}

impl Curve {
    fn betas(self, start: f64, end: f64, count: usize) -> Vec<f32> {
        match self {
            Self::Linear => numpy::linspace_f32(start as f32, end as f32, count),
            Self::ScaledLinear => {
                let roots = numpy::linspace_f32(start.sqrt() as f32, end.sqrt() as f32, count);
                roots.into_iter().map(|root| root * root).collect()
            }
            Self::Cosine => from_remaining(count, |t| ((t + 0.008) / 1.008 * PI / 2.0).cos().powi(2)),
            Self::Laplace => from_remaining(count, |t| {
                let log_snr = -0.5 * (0.5 - t).signum() * (1.0 - 2.0 * (0.5 - t).abs() + 1e-6).ln();
                (log_snr.exp() / (1.0 + log_snr.exp())).sqrt()
            }),
            Self::Sigmoid => {
                let sigmoid = |x: f32| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32;
                let points = numpy::linspace_f32(-6.0, 6.0, count);
                points.into_iter().map(|x| sigmoid(x) * (end - start) as f32 + start as f32).collect()
            }
        }
    }
}

/// The betas whose ᾱ follows `remaining` over t in 0 … 1, none above 0.999.
fn from_remaining(count: usize, remaining: impl Fn(f64) -> f64) -> Vec<f32> {
    let at = |i: usize| remaining(i as f64 / count as f64);
    (0..count).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999) as f32).collect()
}

/// ᾱ from β.
fn remaining(betas: &[f32]) -> Vec<f32> {
    numpy::cumulative_product(betas.iter().map(|beta| 1.0 - beta))
}

/// Betas whose last ᾱ is zero: √ᾱ shifted to end there and stretched to start where it did (arXiv 2305.08891,
/// algorithm 1).
fn rescale_to_zero_snr(betas: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = remaining(betas).into_iter().map(f32::sqrt).collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let stretch = first / (first - last);
    let bars: Vec<f32> = roots.into_iter().map(|root| (root - last) * stretch).map(|root| root * root).collect();
    (0..bars.len()).map(|i| 1.0 - if i == 0 { bars[0] } else { bars[i] / bars[i - 1] }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noising(json: serde_json::Value) -> Noising {
        Noising::read(&mut Fields::new("c.json", "Test", &json).unwrap(), &DDPM_CURVES).unwrap()
    }

    /// ᾱ at t = 0, 499 and 999, printed by diffusers 0.42.1 (DDPMScheduler.alphas_cumprod).
    #[test]
    fn curves_have_the_bits_of_torch() {
        for (schedule, expected) in
            [("linear", LINEAR), ("scaled_linear", SCALED_LINEAR), ("squaredcos_cap_v2", COSINE), ("laplace", LAPLACE)]
        {
            let noising = noising(json!({"beta_schedule": schedule}));
            assert_eq!([0, 499, -1].map(|t| noising.at(t).unwrap()), expected, "{schedule}");
        }
    }

    /// torch's exponential, and its square root with MKL, are themselves a unit in the last place off.
    #[test]
    fn sigmoid_and_rescaling_are_within_rounding_of_torch() {
        for (json, expected) in
            [(json!({"beta_schedule": "sigmoid"}), SIGMOID), (json!({"rescale_betas_zero_snr": true}), RESCALED)]
        {
            let noising = noising(json);
            for (t, expected) in [0, 499, -1].into_iter().zip(expected) {
                assert!((noising.at(t).unwrap() - expected).abs() <= 1e-6 * expected, "timestep {t}: {expected}");
            }
        }
    }

    #[test]
    fn rescaling_ends_at_zero_and_keeps_the_start() {
        let (plain, rescaled) = (noising(json!({})), noising(json!({"rescale_betas_zero_snr": true})));
        assert_eq!(rescaled.at(-1), Some(0.0));
        assert!((plain.alphas_cumprod[0] - rescaled.alphas_cumprod[0]).abs() < 1e-6);
        assert!(rescaled.with_finite_sigmas().sigmas().iter().all(|sigma| sigma.is_finite()));
    }

    #[test]
    fn trained_betas_must_be_as_many_as_timesteps() {
        let json = json!({"num_train_timesteps": 3, "trained_betas": [0.1, 0.2]});
        let error = Noising::read(&mut Fields::new("c.json", "Test", &json).unwrap(), &CURVES).unwrap_err();
        assert_eq!(
            error.to_string(),
            "c.json: trained_betas = [… 2 values]: num_train_timesteps = 3 values are needed"
        );
    }

    #[test]
    fn indexing_is_pythons() {
        let noising = noising(json!({"num_train_timesteps": 2}));
        assert_eq!(noising.at(-1), noising.at(1));
        assert_eq!([noising.at(2), noising.at(-3)], [None, None]);
    }

    const LINEAR: [f32; 3] = [0.9999, 0.078587234, 4.0358304e-05];
    const SCALED_LINEAR: [f32; 3] = [0.9999, 0.33318782, 0.000733412];
    const COSINE: [f32; 3] = [0.9999587, 0.49384347, 2.428735e-09];
    const LAPLACE: [f32; 3] = [0.97884625, 0.70746034, 0.031622775];
    const SIGMOID: [f32; 3] = [0.9998508, 0.301931, 3.968182e-05];
    const RESCALED: [f32; 3] = [0.9999, 0.07602873, 0.0];
}
