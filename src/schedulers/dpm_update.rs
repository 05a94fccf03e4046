//! One multistep update of DPM-Solver (arXiv 2206.00927) and DPM-Solver++ (arXiv 2211.01095), the stochastic ones as in
//! diffusers' scheduling_dpmsolver_multistep.py. An exponential integrator in λ = log(α/σ): the linear part of the
//! equation is exact, and the model's output is a polynomial through the last outputs.
//!
//! f32 throughout, as in diffusers: (e^h − 1 − h)/h² of a short step is mostly rounding, and has to be the same.

use super::{Step, numpy, prediction::Prediction};

/// An `algorithm_type`: which quantity is the polynomial, and whether noise is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Algorithm {
    /// `dpmsolver++`
    Image,
    /// `dpmsolver`
    Noise,
    /// `sde-dpmsolver++`
    SdeImage,
    /// `sde-dpmsolver`
    SdeNoise,
}

impl Algorithm {
    /// Whether m is the image rather than the noise.
    pub(super) fn keeps_images(self) -> bool {
        matches!(self, Self::Image | Self::SdeImage)
    }
}

/// A `solver_type`: how the second order weighs the slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Corrector {
    Midpoint,
    Heun,
}

/// A noise level: x = α·image + σ·noise, λ = log(α/σ).
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    alpha: f32,
    sigma: f32,
    lambda: f32,
    /// The level as the schedule has it: σ/α, or σ itself on the straight line of a flow.
    schedule: f32,
}

impl Level {
    pub(super) fn new(schedule: f32, is_flow: bool) -> Self {
        let (alpha, sigma) = if is_flow {
            (1.0 - schedule, schedule)
        } else {
            let alpha = 1.0 / (schedule * schedule + 1.0).sqrt();
            (alpha, schedule * alpha)
        };
        Self { alpha, sigma, lambda: numpy::log(alpha) - numpy::log(sigma), schedule }
    }

    /// What a sample of this level consists of.
    pub(super) fn mix(&self) -> super::Level {
        super::Level { image: self.alpha, noise: self.sigma }
    }
}

/// What makes an update, besides the levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub(super) algorithm: Algorithm,
    pub(super) corrector: Corrector,
    pub(super) prediction: Prediction,
}

/// x' = sample·x + value·D₀ + slope·D₁ + bend·D₂ + noise·z, with D₀ = m and D₁, D₂ its first and second derivative, to
/// be made of divided differences.
struct Taylor {
    sample: f32,
    value: f32,
    slope: f32,
    bend: f32,
    noise: f32,
}

impl Update {
    /// The step from level `from` to level `to`, after steps from the levels `before`, oldest first. Their number is
    /// the order less one.
    pub(super) fn step(&self, timestep: f32, before: &[Level], from: &Level, to: &Level) -> Step {
        let taylor = self.taylor(from, to, before.len() + 1);
        let (newer, older) = taylor.differences(before, from, to);
        let m = match (self.algorithm.keeps_images(), self.prediction) {
            // On the schedule's own scale, which is that of a flow only where the levels are.
            (true, Prediction::Flow) => self.prediction.image(from.alpha, from.schedule),
            (true, _) => self.prediction.image(from.alpha, from.sigma),
            (false, _) => self.prediction.noise(from.alpha, from.sigma),
        };
        Step {
            convert_sample: m.sample,
            convert_output: m.output,
            sample: taylor.sample,
            current: taylor.value + newer,
            previous: [older - newer, -older],
            noise: taylor.noise,
            draws: matches!(self.algorithm, Algorithm::SdeImage | Algorithm::SdeNoise).into(),
            ..Step::at(timestep)
        }
    }

    fn taylor(&self, from: &Level, to: &Level, order: usize) -> Taylor {
        let h = to.lambda - from.lambda;
        // The polynomial is weighed with scale·e^τ, and τ runs from 0 to `rate`.
        let (rate, scale, sample) = match self.algorithm {
            Algorithm::Image => (-h, -to.alpha, to.sigma / from.sigma),
            Algorithm::SdeImage => (-2.0 * h, -to.alpha, to.sigma / from.sigma * numpy::exp(-h)),
            Algorithm::Noise => (h, -to.sigma, to.alpha / from.alpha),
            Algorithm::SdeNoise => (h, -2.0 * to.sigma, to.alpha / from.alpha),
        };
        let growth = numpy::exp(rate) - 1.0;
        let value = scale * growth;
        let slope = match (order, self.corrector) {
            (1, _) => 0.0,
            (2, Corrector::Midpoint) => 0.5 * value,
            _ => scale * (growth / rate - 1.0),
        };
        // The integral has −½ throughout; the stochastic solver of diffusers has the other sign.
        let half = if self.algorithm == Algorithm::SdeImage { -0.5 } else { 0.5 };
        let bend = if order < 3 { 0.0 } else { scale * ((growth - rate) / (rate * rate) - half) };
        let noise = match self.algorithm {
            Algorithm::Image | Algorithm::Noise => 0.0,
            Algorithm::SdeImage => to.sigma * (1.0 - numpy::exp(-2.0 * h)).sqrt(),
            Algorithm::SdeNoise => to.sigma * (numpy::exp(2.0 * h) - 1.0).sqrt(),
        };
        Taylor { sample, value, slope, bend, noise }
    }
}

impl Taylor {
    /// What slope·D₁ + bend·D₂ amounts to as multiples of m − m₋₁ and of m₋₁ − m₋₂.
    fn differences(&self, before: &[Level], from: &Level, to: &Level) -> (f32, f32) {
        let h = to.lambda - from.lambda;
        match before {
            [last] => (self.slope * (h / (from.lambda - last.lambda)), 0.0),
            [oldest, last] => {
                let (near, far) = ((from.lambda - last.lambda) / h, (last.lambda - oldest.lambda) / h);
                // What falls to the second divided difference, from the extrapolated slope and from the bend.
                let second = (self.slope * near + self.bend) / (near + far);
                ((self.slope + second) / near, -second / far)
            }
            _ => (0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(algorithm: Algorithm, corrector: Corrector) -> Update {
        Update { algorithm, corrector, prediction: Prediction::Noise }
    }

    fn levels(sigmas: &[f32]) -> Vec<Level> {
        sigmas.iter().map(|&sigma| Level::new(sigma, false)).collect()
    }

    /// Where the model's answer never changes every order is exact: x stays on the line between image and noise.
    #[test]
    fn a_constant_answer_is_integrated_exactly() {
        let (image, noise) = (0.4_f32, -1.1_f32);
        let all = levels(&[8.0, 5.0, 2.0, 0.7]);
        for algorithm in [Algorithm::Image, Algorithm::Noise] {
            for corrector in [Corrector::Midpoint, Corrector::Heun] {
                for order in 1..=3 {
                    let (from, to) = (&all[2], &all[3]);
                    let step = update(algorithm, corrector).step(500.0, &all[3 - order..2], from, to);
                    let m = if algorithm.keeps_images() { image } else { noise };
                    let x = from.alpha * image + from.sigma * noise;
                    let (next, converted) = step.apply(x, noise, [m, m], 0.0);
                    assert!((converted - m).abs() < 1e-5, "{algorithm:?} {corrector:?} {order}");
                    let expected = to.alpha * image + to.sigma * noise;
                    assert!((next - expected).abs() < 1e-5, "{algorithm:?} {corrector:?} {order}");
                }
            }
        }
    }

    /// What is left of the old noise and what z brings make up the target's variance.
    #[test]
    fn fresh_noise_makes_up_for_the_old() {
        let all = levels(&[5.0, 2.0]);
        let step = update(Algorithm::SdeImage, Corrector::Midpoint).step(500.0, &[], &all[0], &all[1]);
        let left = step.sample * all[0].sigma;
        assert!((left * left + step.noise * step.noise - all[1].sigma.powi(2)).abs() < 1e-6);
        assert!(step.draws_noise());
    }

    #[test]
    fn the_step_to_zero_is_the_image() {
        for algorithm in [Algorithm::Image, Algorithm::SdeImage] {
            let all = levels(&[0.5, 0.0]);
            let step = update(algorithm, Corrector::Midpoint).step(1.0, &[], &all[0], &all[1]);
            assert_eq!((step.sample, step.current, step.noise), (0.0, 1.0, 0.0));
        }
    }
}
