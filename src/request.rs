//! What a caller asks for, as plain data: every face of Foveate reads and writes this.

use serde::{Deserialize, Serialize};

use crate::compress::Compression;
use crate::{Size, Tensor};

/// One request. Fields left out take the pipeline's own defaults, which are diffusers'. Tensors are not part of its JSON.
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
        let error = serde_json::from_str::<Request>(r#"{"promt": "x"}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `promt`"), "{error}");
    }
}
