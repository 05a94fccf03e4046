//! What a model predicts, and how image and noise follow from it. With x = α·image + σ·noise every kind of prediction
//! gives both as linear combinations of the sample x and the output g.

/// A `prediction_type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prediction {
    /// `epsilon`: the noise.
    Noise,
    /// `sample`: the image.
    Image,
    /// `v_prediction`: α·noise − σ·image (arXiv 2202.00512, appendix D).
    Velocity,
    /// `flow_prediction`: noise − image.
    Flow,
}

/// What most classes implement.
pub const PREDICTIONS: [(&str, Prediction); 3] =
    [("epsilon", Prediction::Noise), ("sample", Prediction::Image), ("v_prediction", Prediction::Velocity)];

/// `sample`·x + `output`·g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Combination {
    /// x's coefficient.
    pub sample: f32,
    /// g's coefficient.
    pub output: f32,
}

impl Prediction {
    /// The image. At α = 0 the noise contains nothing of it, and the coefficients are infinite.
    pub fn image(self, alpha: f32, sigma: f32) -> Combination {
        let (sample, output) = match self {
            Self::Noise => (1.0 / alpha, -sigma / alpha),
            Self::Image => (0.0, 1.0),
            Self::Velocity => (alpha, -sigma),
            Self::Flow => (1.0, -sigma),
        };
        Combination { sample, output }
    }

    /// The noise.
    pub fn noise(self, alpha: f32, sigma: f32) -> Combination {
        let (sample, output) = match self {
            Self::Noise => (0.0, 1.0),
            Self::Image => (1.0 / sigma, -alpha / sigma),
            Self::Velocity => (sigma, alpha),
            Self::Flow => (1.0, alpha),
        };
        Combination { sample, output }
    }
}

impl Combination {
    /// The same for clamping: an infinite coefficient is made merely huge, so that ∞·x − ∞·g has the sign of x − g
    /// instead of being no number. The clamp sees no difference.
    pub fn for_clamping(self) -> Self {
        let finite = |value: f32| if value.is_infinite() { 1e18_f32.copysign(value) } else { value };
        Self { sample: finite(self.sample), output: finite(self.output) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_and_noise_are_recovered_from_every_prediction() {
        let (image, noise) = (0.7_f32, -1.3_f32);
        for (alpha, sigma, prediction, output) in [
            (0.8, 0.6, Prediction::Noise, noise),
            (0.8, 0.6, Prediction::Image, image),
            (0.8, 0.6, Prediction::Velocity, 0.8 * noise - 0.6 * image),
            // On the straight line α = 1 − σ.
            (0.4, 0.6, Prediction::Flow, noise - image),
        ] {
            let x = alpha * image + sigma * noise;
            let of = |c: Combination| c.sample * x + c.output * output;
            assert!((of(prediction.image(alpha, sigma)) - image).abs() < 1e-6, "{prediction:?}");
            assert!((of(prediction.noise(alpha, sigma)) - noise).abs() < 1e-6, "{prediction:?}");
        }
    }
}
