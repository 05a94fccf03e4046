//! What a caller asks for.

use crate::compress::{Choice, Compress, StepCache};
use crate::rng::Generator;
use crate::{Error, Result, Tensor};

/// One request. Fields left at their default take the pipeline's own defaults, which are diffusers'.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The prompt, for text-to-image; the empty one is a prompt too.
    pub prompt: String,
    /// What guidance steers away from; none: the empty prompt.
    pub negative: Option<String>,
    /// The class, for class-to-image.
    pub class: Option<u32>,
    /// Denoising steps.
    pub steps: Option<usize>,
    /// Classifier-free guidance scale; 1 and below turn guidance off.
    pub guidance: Option<f32>,
    /// Seed of torch's CPU generator.
    pub seed: u64,
    /// Width and height in pixels.
    pub size: Option<[usize; 2]>,
    /// Pictures, drawn as one batch from one generator.
    pub count: Option<usize>,
    /// Another scheduler than the folder's, over the folder's config.
    pub scheduler: Option<String>,
    /// Tokens that a prompt is padded or cut to.
    pub max_length: Option<usize>,
    /// Compression policy.
    pub compress: Compress,
    /// Share of the tokens that the policy saves, 0.3 for 30 %; none: as the checkpoint was trained, or as published.
    pub ratio: Option<f64>,
    /// The policy's parameters by name, as the command line's `--set` gives them.
    pub set: Vec<(String, String)>,
    /// A step cache around the policy.
    pub step_cache: Option<StepCache>,
    /// Whether [`Run::routing`](super::Run::routing) or [`Run::merging`](super::Run::merging) can tell what the policy did in
    /// the last step.
    pub traced: bool,
    /// Starting noise `[B, C, h, w]`, before any scaling by the scheduler's initial sigma, instead of the seed's.
    pub init_latents: Option<Tensor>,
    /// Token ids instead of a prompt.
    pub prompt_ids: Option<Ids>,
    /// Text embeddings instead of a prompt.
    pub prompt_embeds: Option<Embeds>,
}

/// Token ids and mask, each `[S]`, of the prompt and of the negative prompt.
#[derive(Clone, Debug)]
pub struct Ids {
    /// The prompt's ids.
    pub ids: Vec<u32>,
    /// 1 where a token counts.
    pub mask: Vec<u32>,
    /// The same of the negative prompt.
    pub negative: Option<(Vec<u32>, Vec<u32>)>,
}

/// Text embeddings `[1, S, D]` and mask `[1, S]`, of the prompt and of the negative prompt.
#[derive(Clone, Debug)]
pub struct Embeds {
    /// The prompt's embeddings.
    pub embeds: Tensor,
    /// 1 where a token counts.
    pub mask: Vec<u32>,
    /// The same of the negative prompt.
    pub negative: Option<(Tensor, Vec<u32>)>,
}

impl Request {
    /// What it says about compression.
    pub(super) fn choice(&self) -> Choice {
        Choice {
            policy: self.compress,
            ratio: self.ratio,
            set: self.set.clone(),
            step_cache: self.step_cache,
            seed: self.seed,
            traced: self.traced,
        }
    }

    /// Latent height and width. `sample_size` is the trained latent's side, `factor` the VAE's pixels per latent pixel.
    pub(super) fn latent_size(&self, sample_size: usize, factor: usize) -> Result<[usize; 2]> {
        let given = self.init_latents.as_ref().map(|latents| latents.shape.as_slice());
        match (self.size, given) {
            (None, None) => Ok([sample_size, sample_size]),
            (None, Some(&[_, _, height, width])) => Ok([height, width]),
            (None, Some(shape)) => {
                Err(Error::Usage(format!("latents {shape:?} should be [batch, channels, height, width]")))
            }
            (Some([width, height]), _) if width == 0 || height == 0 || width % factor != 0 || height % factor != 0 => {
                Err(Error::Usage(format!("a size of {width}x{height} is not divisible by the VAE's factor {factor}")))
            }
            (Some([width, height]), _) => Ok([height / factor, width / factor]),
        }
    }

    /// The starting noise `[L, C, h, w]`, given or drawn, times `sigma`.
    pub(super) fn noise(
        &self,
        generator: &mut Generator,
        channels: usize,
        [height, width]: [usize; 2],
        sigma: f32,
    ) -> Result<Tensor> {
        let count = self.count.unwrap_or(1);
        let mut noise = match &self.init_latents {
            Some(given) => {
                let batch = given.shape.first().copied().unwrap_or(0);
                let expected = [self.count.unwrap_or(batch), channels, height, width];
                if given.shape != expected || batch == 0 {
                    let reason = format!("the latents given are {:?}, this request needs {expected:?}", given.shape);
                    return Err(Error::Usage(reason));
                }
                given.clone()
            }
            None if count == 0 => return Err(Error::Usage("a count of 0 asks for no picture".into())),
            None => {
                let shape = [count, channels, height, width];
                Tensor::new(&shape, generator.randn(shape.iter().product()))?
            }
        };
        if let crate::tensor::Data::F32(values) = &mut noise.data {
            values.iter_mut().for_each(|v| *v *= sigma);
        }
        Ok(noise)
    }
}
