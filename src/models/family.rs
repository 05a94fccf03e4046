//! The seam between models and everything that uses them. A family of models is one folder here and one line in
//! [`Families`](super::Families).

use std::fmt::Debug;
use std::sync::Arc;

use super::autoencoder_kl::{self, AutoencoderKl, EncoderKl};
use super::{Canvas, Given, Preparation};
use crate::area::cut_out;
use crate::compress::{Policies, PolicyStep, Trained};
use crate::device::{Device, Store};
use crate::graph::{Graph, ValueId};
use crate::kernels::Guidance;
use crate::loading::{Fields, Loader, ModelFolder, Scope};
use crate::schedulers::{Schedule, Scheduler};
use crate::shared::{Shared, Work};
use crate::weights::Format;
use crate::{Area, Grid, Refusal, Request, Result, Size, Tensor, Warning};

/// A family of models: which diffusers pipelines it covers, and how their parts are opened.
pub trait Family: Debug + Shared {
    /// The pipeline classes that `model_index.json` may name.
    fn pipelines(&self) -> &'static [&'static str];

    /// Its short name.
    fn name(&self) -> &'static str;

    /// How the pipeline of this class draws where a request does not say.
    fn habits(&self, pipeline: &str) -> Habits;

    /// Opens the transformer: names and shapes of its tensors, none loaded yet.
    fn transformer<'a>(&'a self, opening: Opening<'a>) -> Work<'a, Transformer>;

    /// Opens what turns requests into conditioning, text encoders among it.
    fn conditioner<'a>(&'a self, opening: Opening<'a>) -> Work<'a, (Box<dyn Conditioner>, Vec<Loader>)>;

    /// Opens the decoder of latents. Its matrices stay as the file has them: it is small, and errors in it show.
    fn decoder<'a>(&'a self, opening: Opening<'a>) -> Work<'a, (Arc<dyn Decoder>, Loader)> {
        Box::pin(async move {
            let folder = opening.folder;
            let config = autoencoder_kl::Config::read(folder.config("vae").await?)?;
            let load = |scope: &mut Scope<'_>| AutoencoderKl::load(config, scope);
            let (vae, loader) = folder.build("vae", None, AutoencoderKl::unused, load).await?;
            Ok((Arc::new(vae) as Arc<dyn Decoder>, loader))
        })
    }

    /// Opens the encoder of pictures, for a run that begins with one.
    fn encoder<'a>(&'a self, opening: Opening<'a>) -> Work<'a, (Box<dyn Encoder>, Loader)> {
        Box::pin(async move {
            let folder = opening.folder;
            let config = autoencoder_kl::Config::read(folder.config("vae").await?)?;
            let load = |scope: &mut Scope<'_>| EncoderKl::load(config, scope);
            let (encoder, loader) = folder.build("vae", None, EncoderKl::unused, load).await?;
            Ok((Box::new(encoder) as Box<dyn Encoder>, loader))
        })
    }

    /// The table of a run's steps, where the diffusers pipeline does other than its scheduler says.
    fn schedule(&self, _pipeline: &str, scheduler: &dyn Scheduler, steps: usize) -> Result<Schedule> {
        scheduler.schedule(steps)
    }
}

/// What the parts of a model are opened from.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The model's files.
    pub folder: &'a ModelFolder,
    /// How to store matrices. None: as the files have them.
    pub dtype: Option<Format>,
    /// The policies that may find trained parts of theirs in the files.
    pub policies: &'a Policies,
}

/// An opened transformer.
#[derive(Debug)]
pub struct Transformer {
    /// The model.
    pub denoiser: Box<dyn Denoiser>,
    /// What the files hold for compression policies.
    pub trained: Trained,
    /// Loads its tensors.
    pub loader: Loader,
}

/// How a diffusers pipeline class draws.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// What it draws.
    pub draws: Draws,
    /// Denoising steps where the request does not say.
    pub steps: usize,
    /// The guidance scale where the request does not say.
    pub guidance: f32,
    /// Which half of a guided batch is conditional.
    pub order: Guidance,
    /// Whether a stochastic scheduler draws noise for both halves of a guided batch.
    pub draws_for_both_halves: bool,
    /// Tokens that a prompt is padded or cut to, where the request does not say.
    pub prompt_tokens: usize,
}

/// What a model draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// Classes, by number.
    Classes,
    /// Prompts.
    Prompts,
}

/// Predicts what a scheduler steps by: the transformer.
pub trait Denoiser: Debug + Shared {
    /// Its sizes.
    fn sizes(&self) -> Sizes;

    /// The token grid of latents. A size that does not divide into tokens is an error.
    fn grid(&self, latents: Size) -> Result<Grid>;

    /// Refuses what the request brings for it, as far as that can be known before any weight is read.
    fn check(&self, _request: &Request, _guided: bool) -> Result<()> {
        Ok(())
    }

    /// Adds what no step changes to `preparation`, which holds the conditioning already.
    fn prepare<'a>(&'a self, preparation: &'a mut Preparation, canvas: Canvas) -> Work<'a, ()>;

    /// The prediction `[B, Cout, H, W]` for the noisy latents of one step. `given` is what was prepared; the blocks are
    /// driven by `policy`.
    fn forward(&self, graph: &mut Graph, noisy: Noisy, given: &Given, policy: &PolicyStep) -> Result<ValueId>;

    /// Random conditioning for `samples` samples, with `text` tokens where there is text: for counting and timing steps
    /// without a request.
    fn stand_in(&self, samples: usize, text: usize) -> Result<Preparation>;
}

/// The sizes of a transformer.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Number of blocks.
    pub layers: usize,
    /// Width of the residual stream, C.
    pub width: usize,
    /// Heads of every attention.
    pub heads: usize,
    /// Channels in: those of the latents and, in models that fill in pictures, those of the mask and of what is left of
    /// the picture.
    pub channels: usize,
    /// The side of the latents that it was trained at.
    pub sample_size: usize,
}

/// What one denoising step starts from.
#[derive(Clone, Copy, Debug)]
pub struct Noisy {
    /// What the model sees, `[L, C, H, W]`.
    pub latents: ValueId,
    /// Whether the step's input scale was applied to it already.
    pub scaled: bool,
    /// The step's row of the schedule (see [`crate::kernels::step_row`]).
    pub step: ValueId,
    /// Samples B in the model's batch: L, or 2·L under classifier-free guidance.
    pub batch: usize,
}

/// Turns requests into conditioning.
pub trait Conditioner: Debug + Shared {
    /// Refuses what the request brings for it, as far as that can be known before any weight is read.
    fn check(&self, _request: &Request, _guided: bool) -> Result<()> {
        Ok(())
    }

    /// Stores the conditioning of the whole batch in `preparation`, or adds the ops that compute it.
    fn condition<'a>(
        &'a self,
        request: &'a Request,
        batch: Batch,
        preparation: &'a mut Preparation,
    ) -> Work<'a, Vec<Warning>>;

    /// Adds the ops that [`Conditioner::condition`] adds for so many samples of so many tokens, and only describes what
    /// they start from: enough to count by. Adds none where nothing is computed.
    fn describe(&self, _samples: usize, _tokens: usize, _preparation: &mut Preparation) -> Result<()> {
        Ok(())
    }
}

/// How the samples of a batch come about.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Pictures, L.
    pub pictures: usize,
    /// Whether each is computed twice, with and without the condition.
    pub guided: bool,
}

/// Turns latents into pictures.
pub trait Decoder: Debug + Shared {
    /// Pixels per latent pixel, along each side.
    fn factor(&self) -> usize;

    /// The size of the latents of pictures of so many pixels, which must divide by the factor.
    fn latents(&self, size: Size) -> Result<Size> {
        let factor = self.factor();
        size.divided(factor).ok_or_else(|| Refusal::IndivisibleSize { size, factor }.into())
    }

    /// Channels of the latents.
    fn channels(&self) -> usize;

    /// `latents [B, L, h, w]` as diffusion leaves them to pictures `[B, 3, H, W]` in 0…1.
    fn decode(&self, graph: &mut Graph, latents: ValueId) -> Result<ValueId>;

    /// The same of latents on the host, one picture after the other, in tiles where the device cannot hold one whole.
    fn pictures<'a>(&'a self, device: &'a Device, store: &'a Store, latents: &'a Tensor) -> Work<'a, Tensor>;

    /// Of the same pictures only these areas, which are in latent pixels: `[B, 3, h, w]` of each. They may be near to
    /// what [`Decoder::pictures`] gives and less exact at their edges, where that saves work. A decoder that cannot
    /// save any decodes all.
    fn areas<'a>(
        &'a self,
        device: &'a Device,
        store: &'a Store,
        latents: &'a Tensor,
        areas: &'a [Area],
    ) -> Work<'a, Vec<Tensor>> {
        Box::pin(async move { cut_out(&self.pictures(device, store, latents).await?, areas, self.factor()) })
    }
}

impl Habits {
    /// The guidance scale of a request, where guidance is on.
    pub fn guidance_of(self, request: &Request) -> Option<f32> {
        Some(request.guidance.unwrap_or(self.guidance)).filter(|&scale| scale > 1.0)
    }
}

/// Turns pictures into latents.
pub trait Encoder: Debug + Shared {
    /// Latents `[1, L, h, w]`, scaled for diffusion, of a picture `[1, 3, H, W]` in 0…1: drawn with `noise`, L·h·w
    /// standard normal numbers, from what the encoder says of it.
    fn latents<'a>(
        &'a self,
        device: &'a Device,
        store: &'a Store,
        picture: &'a Tensor,
        noise: &'a [f32],
    ) -> Work<'a, Tensor>;
}

impl Draws {
    /// Refuses a request that is meant for the other kind of model.
    pub fn check(self, request: &Request) -> Result<()> {
        let text = !request.prompt.is_empty() || request.prompt_ids.is_some() || request.prompt_embeds.is_some();
        match (self, request.class.is_some(), text) {
            (Self::Classes, true, false) | (Self::Prompts, false, _) => Ok(()),
            (Self::Classes, false, _) => Err(Refusal::NeedsClass.into()),
            (Self::Classes, true, true) => Err(Refusal::TakesNoPrompt.into()),
            (Self::Prompts, true, _) => Err(Refusal::TakesNoClass.into()),
        }
    }
}

impl Opening<'_> {
    /// Opens the folder's transformer: its config by `read`, its tensors by `load`, and whatever policies find beside
    /// them.
    pub async fn transformer<C, M: Denoiser + 'static>(
        self,
        read: fn(Fields) -> Result<C>,
        load: fn(C, &mut Scope<'_>) -> Result<M>,
    ) -> Result<Transformer> {
        let mut fields = self.folder.config("transformer").await?;
        let configs = self.policies.configs(&mut fields)?;
        let config = read(fields)?;
        // Positions are computed.
        let unused = |name: &str| name == "pos_embed.pos_embed";
        let build = |scope: &mut Scope<'_>| {
            let model = load(config, scope)?;
            let Sizes { layers, width, .. } = model.sizes();
            let trained = self.policies.read(configs, scope, layers, width)?;
            Ok((Box::new(model) as Box<dyn Denoiser>, trained))
        };
        let ((denoiser, trained), loader) = self.folder.build("transformer", self.dtype, unused, build).await?;
        Ok(Transformer { denoiser, trained, loader })
    }
}
