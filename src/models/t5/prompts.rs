//! Prompts by T5: from a request's text, ids or embeddings to the embedded text of the whole batch, negative prompts
//! first.

use super::{Config, T5};
use crate::loading::Loader;
use crate::models::{Batch, Conditioner, Opening, Preparation};
use crate::shared::Work;
use crate::tokenizer::{Encoded, Tokenizer};
use crate::{Embeds, Error, Ids, Refusal, Request, Result, Tensor, Warning};

/// Stored: the text encoder's output `[B, S, D]`.
pub const PROMPT_EMBEDS: &str = "prompt_embeds";
/// Stored: the mask of the text `[B, S]`, 0 where a token counts and −10000 where not.
pub const TEXT_BIAS: &str = "text.bias";

/// Tokenizer and text encoder. Either may be missing; requests must then bring ids or embeddings.
#[derive(Debug)]
pub struct Prompts {
    tokenizer: Option<Tokenizer>,
    encoder: Option<T5>,
    /// Tokens that a prompt is padded or cut to, where the request does not say.
    most: usize,
}

impl Prompts {
    /// Opens the folder's `tokenizer` and `text_encoder`.
    pub async fn open(opening: Opening<'_>, most: usize) -> Result<(Self, Vec<Loader>)> {
        let folder = opening.folder;
        let tokenizer = match folder.has("tokenizer").await? {
            true => Some(Tokenizer::load(&folder.source, "tokenizer").await?),
            false => None,
        };
        let (encoder, loader) = match folder.has("text_encoder").await? {
            false => (None, None),
            true => {
                let config = Config::read(folder.config("text_encoder").await?)?;
                let build = folder.build("text_encoder", opening.dtype, T5::unused, |scope| T5::load(config, scope));
                let (encoder, loader) = build.await?;
                (Some(encoder), Some(loader))
            }
        };
        if let (Some(tokenizer), Some(encoder)) = (&tokenizer, &encoder) {
            let (ids, known) = (tokenizer.ids(), encoder.vocabulary());
            if ids > known {
                let reason = format!("has {ids} tokens, and the text encoder knows {known}");
                return Err(Error::file(folder.source.display("tokenizer"), reason));
            }
        }
        Ok((Self { tokenizer, encoder, most }, loader.into_iter().collect()))
    }

    /// Token ids and masks of the batch's texts, each once.
    fn ids(&self, request: &Request, guided: bool, warnings: &mut Vec<Warning>) -> Result<Vec<(Vec<u32>, Vec<u32>)>> {
        if let Some(Ids { ids, mask, negative }) = &request.prompt_ids {
            let mut all = vec![(ids.clone(), mask.clone())];
            if guided {
                let missing = Refusal::NeedsNegative { tensor: "input_ids" };
                all.insert(0, negative.clone().ok_or(missing)?);
            }
            return Ok(all);
        }
        let most = request.max_length.unwrap_or(self.most);
        let mut all = vec![self.tokens(&request.prompt, most, warnings)?];
        if guided {
            all.insert(0, self.tokens(request.negative.as_deref().unwrap_or(""), most, warnings)?);
        }
        Ok(all)
    }

    /// A prompt's tokens. diffusers lower-cases and strips it first.
    fn tokens(&self, prompt: &str, most: usize, warnings: &mut Vec<Warning>) -> Result<(Vec<u32>, Vec<u32>)> {
        let tokenizer = self.tokenizer.as_ref().ok_or(Refusal::NoTokenizer)?;
        let Encoded { ids, mask, truncated } = tokenizer.encode(prompt.to_lowercase().trim(), most)?;
        warnings.extend(truncated.map(|cut| Warning::PromptCut { most, cut }));
        Ok((ids, mask))
    }

    /// Adds the text encoder, whose output is kept as [`PROMPT_EMBEDS`].
    async fn encode(&self, preparation: &mut Preparation, ids: &[Vec<u32>], masks: &[Vec<u32>]) -> Result<()> {
        let encoder = self.encoder.as_ref().ok_or(Refusal::NoTextEncoder)?;
        for (name, shape) in encoder.shapes(ids.len(), ids.first().map_or(0, Vec::len)) {
            preparation.reserve(name, &shape)?;
        }
        for (name, tensor) in encoder.inputs(ids, masks).await? {
            preparation.input(name, tensor);
        }
        let embeds = encoder.forward(&mut preparation.graph, ids.len(), ids.first().map_or(0, Vec::len))?;
        preparation.graph.store(embeds, PROMPT_EMBEDS);
        Ok(())
    }
}

impl Prompts {
    /// Token ids and masks of the batch's texts, each once and all of one length: up to the last token that counts.
    fn texts(&self, request: &Request, guided: bool, warnings: &mut Vec<Warning>) -> Result<[Vec<Vec<u32>>; 2]> {
        let (mut ids, mut masks): (Vec<_>, Vec<_>) = self.ids(request, guided, warnings)?.into_iter().unzip();
        if ids.iter().zip(&masks).any(|(i, m)| i.len() != ids[0].len() || m.len() != i.len()) {
            return Err(Refusal::UnequalLengths.into());
        }
        let length = counted(&masks);
        ids.iter_mut().chain(&mut masks).for_each(|row| row.truncate(length));
        Ok([ids, masks])
    }
}

impl Conditioner for Prompts {
    fn check(&self, request: &Request, guided: bool) -> Result<()> {
        if let Some(given) = &request.prompt_embeds {
            return texts_of(given, guided).map(|_| ());
        }
        let [ids, _] = self.texts(request, guided, &mut Vec::new())?;
        self.encoder.as_ref().ok_or(Refusal::NoTextEncoder)?.check(&ids)
    }

    fn condition<'a>(
        &'a self,
        request: &'a Request,
        Batch { pictures, guided }: Batch,
        preparation: &'a mut Preparation,
    ) -> Work<'a, Vec<Warning>> {
        Box::pin(async move {
            let mut warnings = Vec::new();
            if let Some(given) = &request.prompt_embeds {
                let samples = if guided { 2 * pictures } else { pictures };
                preparation.reserve(PROMPT_EMBEDS, &[samples, given.embeds.data.len()])?;
                let (embeds, masks) = given_embeds(given, guided, pictures)?;
                preparation.input(PROMPT_EMBEDS, embeds);
                preparation.input(TEXT_BIAS, bias(&masks)?);
                return Ok(warnings);
            }
            let repeat = |rows: Vec<Vec<u32>>| -> Vec<Vec<u32>> {
                rows.into_iter().flat_map(|row| std::iter::repeat_n(row, pictures)).collect()
            };
            let [ids, masks] = self.texts(request, guided, &mut warnings)?.map(repeat);
            preparation.input(TEXT_BIAS, bias(&masks)?);
            self.encode(preparation, &ids, &masks).await?;
            Ok(warnings)
        })
    }

    fn describe(&self, samples: usize, tokens: usize, preparation: &mut Preparation) -> Result<()> {
        let Some(encoder) = &self.encoder else { return Ok(()) };
        let embeds = encoder.forward(&mut preparation.graph, samples, tokens)?;
        preparation.graph.store(embeds, PROMPT_EMBEDS);
        Ok(())
    }
}

/// The embeddings that a request brings and their masks, each once and all of one shape.
fn texts_of(given: &Embeds, guided: bool) -> Result<Vec<(&Tensor, &Vec<u32>)>> {
    let mut parts = vec![(&given.embeds, &given.mask)];
    if guided {
        let missing = Refusal::NeedsNegative { tensor: "prompt_embeds" };
        let (embeds, mask) = given.negative.as_ref().ok_or(missing)?;
        parts.insert(0, (embeds, mask));
    }
    let width = parts[0].0.shape.last().copied().unwrap_or(0);
    let expected = [1, parts[0].1.len(), width];
    for (embeds, mask) in &parts {
        if embeds.shape != expected || mask.len() != expected[1] {
            let (found, expected) = (embeds.shape.clone(), format!("{expected:?}, with a mask of {}", expected[1]));
            return Err(Refusal::WrongShape { tensor: "prompt_embeds", found, expected }.into());
        }
    }
    Ok(parts)
}

/// The same, repeated for the batch.
fn given_embeds(given: &Embeds, guided: bool, pictures: usize) -> Result<(Tensor, Vec<Vec<u32>>)> {
    let parts = texts_of(given, guided)?;
    let width = parts[0].0.shape.last().copied().unwrap_or(0);
    let mut masks: Vec<Vec<u32>> =
        parts.iter().flat_map(|(_, mask)| std::iter::repeat_n((*mask).clone(), pictures)).collect();
    let length = counted(&masks);
    masks.iter_mut().for_each(|mask| mask.truncate(length));
    let rows = parts.iter().flat_map(|(embeds, _)| std::iter::repeat_n(&embeds.f32()[..length * width], pictures));
    let embeds = Tensor::new(&[masks.len(), length, width], rows.collect::<Vec<_>>().concat())?;
    Ok((embeds, masks))
}

/// Tokens up to the last that counts in any row. Those after it weigh exactly nothing in every softmax, so leaving them
/// out changes no number.
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
