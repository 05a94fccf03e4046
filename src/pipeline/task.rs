//! What a request asks of the loop: to draw from noise, to change a picture, or to fill in a part of one. The semantics
//! are those of diffusers' `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline`, carried over to
//! transformers.

use crate::{Refusal, Request, Result};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Pictures from noise.
    Draw,
    /// A picture like the given one: the loop begins with it, noised.
    Change,
    /// A new part of a picture, by any model: after each step the rest of the latents is the picture again, noised.
    Blend,
    /// A new part of a picture, by a model trained for it: it sees the mask and what is left of the picture, as so many
    /// channels beside its noisy sample.
    FillIn {
        /// A mask, and the latents.
        channels: usize,
        /// Whether the rest is blended in besides, because it is not computed in every step.
        blends: bool,
    },
}

/// Whether a model of `inputs` channels on latents of `latents` channels sees a mask and the latents of what is left.
pub(super) fn trained_to_fill_in(inputs: usize, latents: usize) -> bool {
    inputs == 2 * latents + 1
}

/// How much of the noise a changed picture gets where the request does not say.
const STRENGTH: f64 = 0.8;

impl Task {
    /// The task of `request` for a model of `inputs` channels on latents of `latents` channels.
    pub(super) fn of(request: &Request, inputs: usize, latents: usize) -> Result<Self> {
        let trained_to_fill_in = trained_to_fill_in(inputs, latents);
        let pictured = request.image.is_some() || request.image_latents.is_some();
        match (pictured, request.mask.is_some()) {
            (false, false) if trained_to_fill_in => Err(Refusal::NeedsMask.into()),
            (false, false) if request.strength.is_some() => Err(Refusal::NeedsImage { what: "a strength" }.into()),
            (false, false) => Ok(Self::Draw),
            (false, true) => Err(Refusal::NeedsImage { what: "a mask" }.into()),
            (true, false) if trained_to_fill_in => Err(Refusal::NeedsMask.into()),
            (true, false) => Ok(Self::Change),
            // It sees what is left of the picture, which takes more than the picture's latents.
            (true, true) if trained_to_fill_in && request.image.is_none() => {
                Err(Refusal::NeedsImage { what: "a model that fills in" }.into())
            }
            (true, true) if trained_to_fill_in => {
                Ok(Self::FillIn { channels: latents + 1, blends: request.compression.masked.is_some() })
            }
            (true, true) => Ok(Self::Blend),
        }
    }

    /// Whether after each step the rest of the latents is the picture again.
    pub(super) fn blends(self) -> bool {
        matches!(self, Self::Blend | Self::FillIn { blends: true, .. })
    }

    /// How much of the noise the picture gets: 1 is all of it.
    pub(super) fn strength(self, request: &Request) -> f64 {
        let usual = if self == Self::Change { STRENGTH } else { 1.0 };
        request.strength.unwrap_or(usual)
    }

    /// Whether the loop begins with nothing but noise.
    pub(super) fn begins_with_noise(self, request: &Request) -> bool {
        match self {
            Self::Draw => true,
            Self::Change => false,
            Self::Blend | Self::FillIn { .. } => self.strength(request) == 1.0,
        }
    }

    /// How many of `steps` steps are not taken, because the picture takes their place.
    pub(super) fn skipped(self, request: &Request, steps: usize) -> Result<usize> {
        let strength = self.strength(request);
        match (steps as f64 * strength) as usize {
            0 if steps > 0 => Err(Refusal::NoStepLeft { strength, steps }.into()),
            taken => Ok(steps - taken.min(steps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn request(image: bool, mask: bool, strength: Option<f64>) -> Request {
        let tensor = |shape: &[usize]| Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
        Request {
            image: image.then(|| tensor(&[3, 2, 2])),
            mask: mask.then(|| tensor(&[2, 2])),
            strength,
            ..Request::default()
        }
    }

    #[test]
    fn a_task_follows_from_what_is_given_and_what_the_model_sees() {
        let task = |image, mask, inputs| Task::of(&request(image, mask, None), inputs, 4);
        assert_eq!(task(false, false, 4).unwrap(), Task::Draw);
        assert_eq!(task(true, false, 4).unwrap(), Task::Change);
        assert_eq!(task(true, true, 4).unwrap(), Task::Blend);
        assert_eq!(task(true, true, 9).unwrap(), Task::FillIn { channels: 5, blends: false });
        for (image, mask, inputs, reason) in [
            (false, true, 4, "a mask needs the picture"),
            (false, false, 9, "fills in masked parts"),
            (true, false, 9, "fills in masked parts"),
        ] {
            let error = task(image, mask, inputs).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
        let error = Task::of(&request(false, false, Some(0.5)), 4, 4).unwrap_err().to_string();
        assert!(error.contains("a strength needs the picture"), "{error}");
    }

    /// As `get_timesteps` of diffusers counts, in f64: 0.7 · 10 is 7 there.
    #[test]
    fn strength_says_how_many_steps_are_taken() {
        let skipped = |strength, steps| Task::Change.skipped(&request(true, false, Some(strength)), steps);
        assert_eq!(skipped(0.7, 10).unwrap(), 3);
        assert_eq!(skipped(1.0, 10).unwrap(), 0);
        assert_eq!(skipped(0.99, 4).unwrap(), 1);
        assert_eq!(Task::Change.skipped(&request(true, false, None), 20).unwrap(), 4);
        assert_eq!(Task::Blend.skipped(&request(true, true, None), 20).unwrap(), 0);
        let error = skipped(0.04, 20).unwrap_err().to_string();
        assert_eq!(error, "a strength of 0.04 leaves none of 20 steps: a larger one or more steps are needed");
    }
}
