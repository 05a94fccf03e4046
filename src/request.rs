//! What a caller asks for, as plain data: every face of Foveate reads and writes this.

use serde::{Deserialize, Serialize};

use crate::compress::Compression;
use crate::size::{MOST_SIDE, elements};
use crate::{Error, Refusal, Result, Size, Tensor};

/// The most pictures of one batch.
const MOST_PICTURES: usize = 1024;
/// The most pixels of one batch: beyond what is drawn as one, and far from overflow in what is computed from them.
const MOST_PIXELS: u64 = 1 << 28;
/// The most tokens of a prompt.
const MOST_TOKENS: usize = 1 << 16;

/// One request. Fields left out take the pipeline's own defaults, which are diffusers'. Tensors are not part of its
/// JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// The prompt, for models that draw prompts. The empty one is a prompt too.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// What guidance steers away from. None: the empty prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative: Option<String>,
    /// The class, for models that draw classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// Denoising steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Classifier-free guidance scale. 1 and below turn guidance off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f32>,
    /// Seed of torch's CPU generator.
    pub seed: u64,
    /// The picture's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Pictures, drawn as one batch from one generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Another scheduler than the folder's, over the folder's config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// Tokens that a prompt is padded or cut to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Which tokens are computed.
    #[serde(skip_serializing_if = "is_default")]
    pub compression: Compression,
    /// Whether [`Run::trace`](crate::Run::trace) can return what the policy did in the last step.
    #[serde(skip_serializing_if = "is_default")]
    pub traced: bool,
    /// How much of the noise a given picture gets, above 0 and up to 1: the share of the steps that is taken. None:
    /// 0.8, and 1 where a mask says what to draw anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// A picture to begin with, `[3, H, W]` in 0…1, of the request's size.
    #[serde(skip)]
    pub image: Option<Tensor>,
    /// What of the picture is drawn anew, `[H, W]`: 0.5 and above is, the rest is kept. What is above 0 is decoded in any
    /// case: a host may fade there from the one to the other.
    #[serde(skip)]
    pub mask: Option<Tensor>,
    /// The picture's latents `[1, C, h, w]`, scaled for diffusion, instead of its encoding.
    #[serde(skip)]
    pub image_latents: Option<Tensor>,
    /// Starting noise `[B, C, h, w]`, before the scheduler scales it, instead of the seed's.
    #[serde(skip)]
    pub init_latents: Option<Tensor>,
    /// Token ids instead of a prompt.
    #[serde(skip)]
    pub prompt_ids: Option<Ids>,
    /// Text embeddings instead of a prompt.
    #[serde(skip)]
    pub prompt_embeds: Option<Embeds>,
}

/// Token ids and mask, each `[S]`, of the prompt and of the negative prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Ids {
    /// The prompt's ids.
    pub ids: Vec<u32>,
    /// 1 where a token counts.
    pub mask: Vec<u32>,
    /// The same of the negative prompt.
    pub negative: Option<(Vec<u32>, Vec<u32>)>,
}

/// Text embeddings `[1, S, D]` and mask `[S]`, of the prompt and of the negative prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeds {
    /// The prompt's embeddings.
    pub embeds: Tensor,
    /// 1 where a token counts.
    pub mask: Vec<u32>,
    /// The same of the negative prompt.
    pub negative: Option<(Tensor, Vec<u32>)>,
}

impl Request {
    /// A request for this prompt.
    pub fn prompt(prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }

    /// A request for this class.
    pub fn class(class: u32) -> Self {
        Self { class: Some(class), ..Self::default() }
    }

    /// How many pictures: as many as are asked for, or as there are latents.
    pub fn pictures(&self) -> usize {
        let given = self.init_latents.as_ref().and_then(|latents| latents.shape.first().copied());
        self.count.or(given).unwrap_or(1)
    }

    /// Refuses numbers that nothing could be drawn from, whatever the model: a request may come from a stranger's
    /// picture. [`Pipeline::prepare`](crate::Pipeline::prepare) asks this first. A face may ask it before it loads a
    /// model.
    pub fn check(&self) -> Result<()> {
        if self.guidance.is_some_and(|scale| !scale.is_finite()) {
            return Err(Refusal::BadGuidance.into());
        }
        if let Some(latents) = &self.init_latents {
            latents.check("init_latents")?;
        }
        if let Some(Embeds { embeds, negative, .. }) = &self.prompt_embeds {
            embeds.check("prompt_embeds")?;
            negative.iter().try_for_each(|(embeds, _)| embeds.check("negative_prompt_embeds"))?;
        }
        self.check_picture()?;
        check_count(self.pictures())?;
        if let Some(size) = self.size {
            check_pixels("a size", size, self.pictures())?;
        }
        for (what, tokens) in [
            ("a max_length", self.max_length),
            ("a mask", self.prompt_ids.as_ref().map(|given| given.mask.len())),
            ("a mask", self.prompt_embeds.as_ref().map(|given| given.mask.len())),
        ] {
            if let Some(tokens) = tokens.filter(|&tokens| tokens > MOST_TOKENS) {
                return Err(too_large(format!("{what} of {tokens}"), MOST_TOKENS as u64, "tokens of a prompt"));
            }
        }
        Ok(())
    }

    /// Refuses a picture, a mask or a strength that is none.
    fn check_picture(&self) -> Result<()> {
        if let Some(strength) = self.strength.filter(|strength| !(*strength > 0.0 && *strength <= 1.0)) {
            return Err(Refusal::BadStrength { strength }.into());
        }
        if let Some(latents) = &self.image_latents {
            latents.check("image_latents")?;
        }
        let mut size = None;
        for (what, name, given, expected) in [
            ("the picture", "image", &self.image, "[3, height, width]"),
            ("the mask", "mask", &self.mask, "[height, width]"),
        ] {
            let Some(tensor) = given else { continue };
            tensor.check(name)?;
            let (height, width) = match (name, tensor.shape.as_slice()) {
                ("image", &[3, height, width]) | ("mask", &[height, width]) => (height, width),
                (_, found) => {
                    let (found, expected) = (found.to_vec(), expected.into());
                    return Err(Refusal::WrongShape { tensor: name, found, expected }.into());
                }
            };
            if let Some(value) = tensor.f32().iter().find(|value| !(0.0..=1.0).contains(*value)) {
                let reason = format!("{value} is not between 0 and 1");
                return Err(Refusal::BadTensor { tensor: name, reason }.into());
            }
            let given = Size::new(width, height);
            match size.replace(given) {
                Some(wanted) if wanted != given => return Err(Refusal::OtherSize { what, given, wanted }.into()),
                _ => check_pixels(what, given, 1)?,
            }
        }
        Ok(())
    }
}

/// Refuses a batch of too many pictures, or of none.
pub(crate) fn check_count(count: usize) -> Result<()> {
    match count {
        0 => Err(Refusal::NoPicture.into()),
        1..=MOST_PICTURES => Ok(()),
        _ => Err(too_large(format!("a count of {count}"), MOST_PICTURES as u64, "pictures are drawn as one batch")),
    }
}

/// Refuses pictures of too many pixels. `what` says where their size comes from.
pub(crate) fn check_pixels(what: &str, size: Size, count: usize) -> Result<()> {
    if size.width.max(size.height) > MOST_SIDE {
        return Err(too_large(format!("{what} of {size}"), MOST_SIDE as u64, "pixels along a side"));
    }
    if elements(&[count, size.width, size.height]) > MOST_PIXELS {
        let batch = if count == 1 { String::new() } else { format!(" for {count} pictures") };
        return Err(too_large(format!("{what} of {size}{batch}"), MOST_PIXELS, "pixels are drawn as one batch"));
    }
    Ok(())
}

fn too_large(what: String, most: u64, unit: &'static str) -> Error {
    Refusal::TooLarge { what, most, unit }.into()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back() {
        let request = Request {
            steps: Some(20),
            seed: u64::MAX,
            size: Some(Size::new(96, 64)),
            compression: Compression::policy("sdtm").with("multiple", 1),
            ..Request::prompt("ein Haus über dem Fluß")
        };
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(
            json,
            r#"{"prompt":"ein Haus über dem Fluß","steps":20,"seed":18446744073709551615,"size":[96,64],"compression":{"policy":"sdtm","set":{"multiple":"1"}}}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), request);
        assert_eq!(serde_json::from_str::<Request>("{}").unwrap(), Request::default());
        let absurd = serde_json::from_str::<Request>(r#"{"size": [65537, 8]}"#).unwrap_err().to_string();
        assert!(absurd.contains("no side may exceed 65536"), "{absurd}");
        let error = serde_json::from_str::<Request>(r#"{"promt": "x"}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `promt`"), "{error}");
    }

    #[test]
    fn absurd_numbers_are_refused_by_name() {
        let sized = |width, height| Request { size: Some(Size::new(width, height)), ..Request::default() };
        let counted = |count| Request { count: Some(count), ..Request::default() };
        let guided = |scale| Request { guidance: Some(scale), ..Request::default() };
        let latents = |shape: &[usize], values: Vec<f32>| Request {
            init_latents: Some(Tensor { shape: shape.to_vec(), data: crate::tensor::Data::F32(values) }),
            ..Request::default()
        };
        let embeds = |shape: &[usize], tokens| {
            let embeds = Tensor { shape: shape.to_vec(), data: crate::tensor::Data::F32(vec![0.0; 4]) };
            let given = Embeds { embeds, mask: vec![1; tokens], negative: None };
            Request { prompt_embeds: Some(given), ..Request::default() }
        };
        for (request, reason) in [
            (sized(1 << 40, 1 << 40), "a size of 1099511627776x1099511627776 is too large: at most 65536 pixels along"),
            (sized(65_536, 65_536), "a size of 65536x65536 is too large: at most 268435456 pixels are drawn as one"),
            (Request { count: Some(2), ..sized(16_384, 16_384) }, "a size of 16384x16384 for 2 pictures is too large"),
            (counted(0), "a count of 0"),
            (counted(1 << 40), "a count of 1099511627776 is too large: at most 1024 pictures"),
            (counted(usize::MAX), "at most 1024 pictures"),
            (Request { max_length: Some(1 << 45), ..Request::default() }, "at most 65536 tokens"),
            (guided(f32::NAN), "the guidance is no number"),
            (guided(f32::INFINITY), "the guidance is no number"),
            (
                latents(&[1, 4, 1 << 40, 1 << 40], vec![0.0; 4]),
                "init_latents: 4 numbers cannot fill the shape [1, 4, 1099511627776, 1099511627776]",
            ),
            (latents(&[1, 1, 1, 2], vec![0.0, f32::NAN]), "init_latents: number 1 is NaN, not finite"),
            (latents(&[1, 1, 1, 2], vec![0.0, -1e30]), "init_latents: number 1 is -1e30, beyond 1e9"),
            (latents(&[0, 4, 8, 8], vec![]), "a count of 0"),
            (embeds(&[1, 2, 4], 2), "prompt_embeds: 4 numbers cannot fill the shape [1, 2, 4]"),
            (embeds(&[1, 1, 4], 1 << 17), "at most 65536 tokens"),
        ] {
            let error = request.check().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
        sized(16_384, 16_384).check().unwrap();
        counted(1024).check().unwrap();
    }
}
