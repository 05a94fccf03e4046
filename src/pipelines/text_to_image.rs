//! Pictures from prompts (diffusers `PixArtAlphaPipeline`, `PixArtSigmaPipeline`).

use std::sync::Arc;

use super::Pictures;
use super::conditioning::{self, Encoded};
use super::denoise::{Latents, Run, Start};
use super::folder::{LoadOptions, ModelFolder, Progress, upload};
use super::kind::Kind;
use super::request::{Embeds, Ids, Request};
use super::transformer::{Class, Transformer};
use crate::compress::{Routers, StepPolicy};
use crate::device::{Device, Store};
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::Guidance;
use crate::models::Loader;
use crate::models::autoencoder_kl::AutoencoderKl;
use crate::models::pixart::{Config, PixArt, Text};
use crate::models::t5::{self, T5};
use crate::rng::Generator;
use crate::tokenizer::{self, Tokenizer};
use crate::weights::Source;
use crate::{Error, Result, Tensor};

/// Stored: the text encoder's output `[B, S, D]`.
const PROMPT_EMBEDS: &str = "prompt_embeds";

/// A loaded text-to-image model.
#[derive(Debug)]
pub struct TextToImage {
    gpu: Device,
    folder: ModelFolder,
    store: Store,
    tokenizer: Option<Tokenizer>,
    text_encoder: Option<T5>,
    transformer: PixArt,
    routers: Result<Arc<Routers>, String>,
    vae: Arc<AutoencoderKl>,
    /// Tokens that a prompt is padded or cut to.
    max_length: usize,
}

/// Embedded text of the whole batch, trimmed to the tokens that count.
struct Conditioning {
    text: Text,
    /// 0 or −10000, `[B, S]`.
    bias: Tensor,
    from: Origin,
    warnings: Vec<String>,
}

enum Origin {
    /// `[B][S]` ids and masks, for the text encoder.
    Ids(Vec<Vec<u32>>, Vec<Vec<u32>>),
    /// `[B, S, D]`.
    Embeds(Tensor),
}

impl TextToImage {
    /// Loads a folder whose pipeline is `PixArtAlphaPipeline` or `PixArtSigmaPipeline`. Tokeniser and text encoder may be
    /// missing; requests must then bring ids or embeddings.
    pub async fn load(
        gpu: impl Into<Device>,
        source: Source,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        Self::from_folder(gpu, &ModelFolder::open(source).await?, options, progress).await
    }

    pub(super) async fn from_folder(
        gpu: impl Into<Device>,
        folder: &ModelFolder,
        options: LoadOptions,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let gpu = &gpu.into();
        folder.scheduler(None).await?;
        let tokenizer = match folder.has("tokenizer").await? {
            true => Some(Tokenizer::load(&folder.source, "tokenizer").await?),
            false => None,
        };
        let (Transformer { model: transformer, routers }, transformer_loader) =
            Self::transformer(folder, options).await?;
        let (vae, vae_loader) = folder.vae().await?;
        let (text_encoder, text_loader) = Self::text_encoder(folder, options).await?.unzip();
        let mut loaders = vec![("transformer", &transformer_loader), ("vae", &vae_loader)];
        loaders.extend(text_loader.iter().map(|loader| ("text_encoder", loader)));
        let store = upload(gpu, &loaders, progress).await?;
        let max_length = folder.prompt_tokens();
        let (gpu, folder, vae) = (gpu.clone(), folder.clone(), Arc::new(vae));
        Ok(Self { gpu, folder, store, tokenizer, text_encoder, transformer, routers, vae, max_length })
    }

    /// The transformer, its routers, and what they would load.
    pub async fn transformer(folder: &ModelFolder, options: LoadOptions) -> Result<(Transformer<PixArt>, Loader)> {
        let sizes = |config: &Config| [config.layers, config.block.width()];
        Class { read: Config::read, sizes, load: PixArt::load }.open(folder, options).await
    }

    /// The text encoder, where the folder has one, and what it would load.
    pub async fn text_encoder(folder: &ModelFolder, options: LoadOptions) -> Result<Option<(T5, Loader)>> {
        if !folder.has("text_encoder").await? {
            return Ok(None);
        }
        let config = t5::Config::read(folder.config("text_encoder").await?)?;
        Ok(Some(folder.build("text_encoder", options.dtype, T5::unused, |scope| T5::load(config, scope)).await?))
    }

    /// As [`Self::prepare`], blocking: for native callers outside an executor.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn start(&self, request: &Request) -> Result<Run> {
        pollster::block_on(self.prepare(request))
    }

    /// The pictures of a request, all steps at once.
    pub async fn generate(&self, request: &Request) -> Result<Pictures> {
        self.prepare(request).await?.complete().await
    }

    pub(super) fn routers(&self) -> &Result<Arc<Routers>, String> {
        &self.routers
    }

    /// Prepares a run: encodes the text, and computes once what no step changes.
    pub async fn prepare(&self, request: &Request) -> Result<Run> {
        Kind::TextToImage.check(request)?;
        let policy = request.choice().policy(&self.routers)?;
        let config = &self.transformer.config;
        let guidance = Some(request.guidance.unwrap_or(4.5)).filter(|&scale| scale > 1.0);
        let scheduler = self.folder.scheduler(request.scheduler.as_deref()).await?;
        let mut schedule = scheduler.schedule(request.steps.unwrap_or(Kind::TextToImage.steps()))?;
        let one_step = schedule.steps.len() == 1 && scheduler.class() != "DPMSolverMultistepScheduler";
        if one_step && self.folder.pipeline == "PixArtAlphaPipeline" {
            // diffusers' PixArt-α then decodes the predicted sample instead of the stepped one (and fails with DPM-Solver).
            schedule = schedule.predicted();
        }

        let mut generator = Generator::manual_seed(request.seed);
        let factor = self.vae.config.scale_factor();
        let latent @ [height, width] = request.latent_size(config.sample_size, factor)?;
        let grid = self.transformer.patch_embed.grid(latent)?;
        let start = request.noise(&mut generator, config.in_channels, latent, schedule.init_noise_sigma)?;

        let mut conditioning = self.conditioning(request, guidance.is_some(), start.shape[0])?;
        let warnings = std::mem::take(&mut conditioning.warnings);
        let text = conditioning.text;
        let mut store = self.store.clone();
        let gpu = &self.gpu;
        let encoded = self.encoded(&mut store, conditioning).await?;
        let pixels = [height * factor, width * factor];
        conditioning::text(gpu, &mut store, &self.transformer, grid, pixels, encoded).await?;

        let latents = Latents { start, generator, draws_per_sample: 1 };
        let (vae, order) = (self.vae.clone(), Guidance::UncondFirst);
        let tokens = grid[0] * grid[1];
        let start = Start { gpu, store, vae, schedule, guidance, order, latents, tokens };
        let forward =
            |graph: &mut Graph, noisy, policy: StepPolicy<'_>| self.transformer.forward(graph, noisy, text, policy);
        let mut run = Run::new(start, policy.as_ref(), forward).await?;
        run.warnings.extend(warnings);
        Ok(run)
    }

    /// The text encoder's graph, its inputs stored; or embeddings that were given, stored.
    async fn encoded(&self, store: &mut Store, conditioning: Conditioning) -> Result<Encoded> {
        let (gpu, text) = (&self.gpu, conditioning.text);
        let mut graph = Graph::new();
        let embeds: ValueId = match conditioning.from {
            Origin::Embeds(embeds) => {
                store.insert(gpu, PROMPT_EMBEDS, &embeds).await?;
                graph.stored(PROMPT_EMBEDS, &embeds.shape, Element::F32)
            }
            Origin::Ids(ids, mask) => {
                let encoder = self.text_encoder.as_ref().ok_or_else(|| {
                    Error::Usage("this model folder has no text encoder: give --prompt-embeds".into())
                })?;
                for (name, tensor) in encoder.inputs(&ids, &mask).await? {
                    store.insert(gpu, name, &tensor).await?;
                }
                let embeds = encoder.forward(&mut graph, text.batch, text.length)?;
                graph.keep(embeds, PROMPT_EMBEDS);
                embeds
            }
        };
        Ok(Encoded { graph, embeds, bias: conditioning.bias })
    }

    /// The text of the batch: negative prompts first, then prompts, each once per picture.
    fn conditioning(&self, request: &Request, guided: bool, count: usize) -> Result<Conditioning> {
        let mut warnings = Vec::new();
        if let Some(Embeds { embeds, mask, negative }) = &request.prompt_embeds {
            let mut parts = vec![(embeds, mask)];
            if guided {
                let missing = || Error::Usage("guidance needs negative_prompt_embeds beside prompt_embeds".into());
                let (embeds, mask) = negative.as_ref().ok_or_else(missing)?;
                parts.insert(0, (embeds, mask));
            }
            return self.given_embeds(&parts, count);
        }
        let (ids, masks) = match &request.prompt_ids {
            Some(Ids { ids, mask, negative }) => {
                let mut all = vec![(ids.clone(), mask.clone())];
                if guided {
                    let missing = || Error::Usage("guidance needs negative_input_ids beside input_ids".into());
                    all.insert(0, negative.clone().ok_or_else(missing)?);
                }
                all.into_iter().unzip()
            }
            None => {
                let max_length = request.max_length.unwrap_or(self.max_length);
                let mut all = vec![self.tokens(&request.prompt, max_length, &mut warnings)?];
                if guided {
                    all.insert(0, self.tokens(request.negative.as_deref().unwrap_or(""), max_length, &mut warnings)?);
                }
                all.into_iter().map(|encoded| (encoded.ids, encoded.mask)).unzip()
            }
        };
        let (mut ids, mut masks): (Vec<Vec<u32>>, Vec<Vec<u32>>) = (ids, masks);
        if ids.iter().zip(&masks).any(|(i, m)| i.len() != ids[0].len() || m.len() != i.len()) {
            return Err(Error::Usage("token ids and masks must all have one length".into()));
        }
        let length = counted(&masks);
        ids.iter_mut().chain(&mut masks).for_each(|row| row.truncate(length));
        let repeat = |rows: &[Vec<u32>]| rows.iter().flat_map(|row| vec![row.clone(); count]).collect::<Vec<_>>();
        let (ids, masks) = (repeat(&ids), repeat(&masks));
        let text = Text { batch: ids.len(), length };
        Ok(Conditioning { text, bias: bias(&masks)?, from: Origin::Ids(ids, masks), warnings })
    }

    fn given_embeds(&self, parts: &[(&Tensor, &Vec<u32>)], count: usize) -> Result<Conditioning> {
        let width = self.transformer.config.text_width();
        for (embeds, mask) in parts {
            let expected = [1, parts[0].1.len(), width];
            if embeds.shape != expected || mask.len() != expected[1] {
                let (shape, mask) = (&embeds.shape, mask.len());
                let reason = format!("prompt_embeds {shape:?} with a mask of {mask}: expected {expected:?}");
                return Err(Error::Usage(reason));
            }
        }
        let mut masks: Vec<Vec<u32>> = parts.iter().flat_map(|(_, mask)| vec![(*mask).clone(); count]).collect();
        let length = counted(&masks);
        masks.iter_mut().for_each(|mask| mask.truncate(length));
        let rows = parts.iter().flat_map(|(embeds, _)| vec![&embeds.f32()[..length * width]; count]);
        let embeds = Tensor::new(&[masks.len(), length, width], rows.collect::<Vec<_>>().concat())?;
        let text = Text { batch: masks.len(), length };
        Ok(Conditioning { text, bias: bias(&masks)?, from: Origin::Embeds(embeds), warnings: Vec::new() })
    }

    /// A prompt's tokens. diffusers lower-cases and strips it first.
    fn tokens(&self, prompt: &str, max_length: usize, warnings: &mut Vec<String>) -> Result<tokenizer::Encoded> {
        let missing =
            || Error::Usage("this model folder has no tokeniser: give --prompt-ids or --prompt-embeds".into());
        let tokenizer = self.tokenizer.as_ref().ok_or_else(missing)?;
        let encoded = tokenizer.encode(prompt.to_lowercase().trim(), max_length)?;
        if let Some(cut) = &encoded.truncated {
            warnings.push(format!("the prompt is longer than {max_length} tokens; this was cut off: {cut:?}"));
        }
        Ok(encoded)
    }
}

/// Tokens up to the last that counts in any row. Those after it weigh exactly nothing in every softmax, so leaving
/// them out changes no number.
fn counted(masks: &[Vec<u32>]) -> usize {
    let last = |mask: &Vec<u32>| mask.iter().rposition(|&m| m != 0).map_or(0, |i| i + 1);
    match masks.iter().map(last).min() {
        // A row without any token attends evenly to all of them, masked ones too.
        Some(0) | None => masks.first().map_or(0, Vec::len),
        Some(_) => masks.iter().map(last).max().unwrap_or(0),
    }
}

/// diffusers' mask as a bias: 0 where a token counts, −10000 where not.
fn bias(masks: &[Vec<u32>]) -> Result<Tensor> {
    let values = masks.concat().into_iter().map(|m| if m == 0 { -10_000.0 } else { 0.0 }).collect();
    Tensor::new(&[masks.len(), masks.first().map_or(0, Vec::len)], values)
}
