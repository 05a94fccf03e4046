//! What DiT and PixArt blocks are made of (diffusers `BasicTransformerBlock`).

use serde_json::Value;

use super::key_compression::{KeyCompression, KeyCompressionConfig};
use super::layers::Linear;
use crate::compress::Attend;
use crate::graph::{Graph, ValueId};
use crate::kernels::{self, Activation, Columns, ReadRows};
use crate::loading::{Fields, Scope};
use crate::{Error, Result};

/// The sizes and choices every block of a transformer shares.
#[derive(Clone, Debug)]
pub struct BlockConfig {
    /// Heads of every attention.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether query, key and value have biases; the output always has.
    pub attention_bias: bool,
    /// The feed-forward's activation.
    pub activation: Activation,
    /// Epsilon of the block's own norms.
    pub norm_eps: f32,
    /// Whether those norms have weights.
    pub norm_affine: bool,
}

impl BlockConfig {
    /// The fields that `DiTTransformer2DModel` and `PixArtTransformer2DModel` share.
    pub fn read(fields: &mut Fields, default_eps: f64) -> Result<Self> {
        let activation = match fields.take("activation_fn", "gelu-approximate".to_owned())?.as_str() {
            "gelu-approximate" => Activation::GeluTanh,
            "gelu" => Activation::GeluErf,
            other => {
                let why = "only \"gelu-approximate\" and \"gelu\" are implemented";
                return Err(fields.refuse("activation_fn", &Value::from(other), why));
            }
        };
        let (heads, head_dim) = fields.heads(("num_attention_heads", 16), ("attention_head_dim", 72))?;
        let config = Self {
            heads,
            head_dim,
            attention_bias: fields.take("attention_bias", true)?,
            activation,
            norm_eps: fields.positive("norm_eps", default_eps)? as f32,
            norm_affine: fields.take("norm_elementwise_affine", false)?,
        };
        if !config.width().is_multiple_of(4) {
            // The sine-cosine positions take two halves of sines and cosines each.
            let reason = format!("a width of {} (heads × head dim) is not divisible by 4", config.width());
            return Err(Error::config(fields.file(), reason));
        }
        Ok(config)
    }

    /// The residual stream's width C.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn attention(&self, key_bias: Option<ValueId>) -> kernels::Attention {
        let scale = (self.head_dim as f32).sqrt().recip();
        kernels::Attention { heads: self.heads, head_dim: self.head_dim, scale, key_bias, position_bias: None }
    }
}

/// Attention among the image tokens.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    config: BlockConfig,
    to_qkv: Linear,
    /// Of keys and values, where the model was trained with it.
    compression: Option<KeyCompression>,
    to_out: Linear,
}

impl SelfAttention {
    /// `attn1`, whose keys and values are compressed where `compression` says how.
    pub fn load(
        scope: &mut Scope<'_>,
        config: &BlockConfig,
        compression: Option<&KeyCompressionConfig>,
    ) -> Result<Self> {
        let (width, mut scope) = (config.width(), scope.within("attn1"));
        let names = ["to_q", "to_k", "to_v"];
        let to_qkv = Linear::stacked(&mut scope, &names, width, width, config.attention_bias)?;
        let compression = compression.map(|config| KeyCompression::load(&mut scope, config, width)).transpose()?;
        let to_out = Linear::load(&mut scope, "to_out.0", width, width, true)?;
        Ok(Self { config: config.clone(), to_qkv, compression, to_out })
    }

    /// `x [B, k, C]` to `[B, k, C]`: attention among these rows.
    pub fn forward(&self, graph: &mut Graph, x: ValueId, attend: Attend) -> Result<ValueId> {
        let qkv = self.to_qkv.forward(graph, x, Activation::None)?;
        let options = self.config.attention(None);
        let mixed = match &self.compression {
            None => attend.packed(graph, qkv, options)?,
            Some(compression) => {
                let [keys, values] = compression.forward(graph, qkv, attend.whole_grid()?)?;
                kernels::attention(graph, Columns { value: qkv, offset: 0 }, keys, values, options)?
            }
        };
        self.to_out.forward(graph, mixed, Activation::None)
    }
}

/// Attention of the image tokens to the text, whose keys and values do not change from step to step.
#[derive(Clone, Debug)]
pub struct CrossAttention {
    config: BlockConfig,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
}

impl CrossAttention {
    /// `attn2`, over text of width `text_width`.
    pub fn load(scope: &mut Scope<'_>, config: &BlockConfig, text_width: usize) -> Result<Self> {
        let (width, mut scope) = (config.width(), scope.within("attn2"));
        let to_q = Linear::load(&mut scope, "to_q", width, width, config.attention_bias)?;
        let to_kv = Linear::stacked(&mut scope, &["to_k", "to_v"], text_width, width, config.attention_bias)?;
        let to_out = Linear::load(&mut scope, "to_out.0", width, width, true)?;
        Ok(Self { config: config.clone(), to_q, to_kv, to_out })
    }

    /// Keys and values `[B, S, 2·C]` of the text `[B, S, D]`: once per request.
    pub fn keys_and_values(&self, graph: &mut Graph, text: ValueId) -> Result<ValueId> {
        self.to_kv.forward(graph, text, Activation::None)
    }

    /// The queries `[B, k, C]` of some rows of `x [B, N, C]`.
    pub fn queries(&self, graph: &mut Graph, x: ValueId, rows: ReadRows) -> Result<ValueId> {
        self.to_q.forward_rows(graph, x, Activation::None, rows)
    }

    /// Lets `queries [B, k, C]` attend to `text [B, S, 2·C]`, masked by `bias [B, S]`.
    pub fn forward(&self, graph: &mut Graph, queries: ValueId, text: ValueId, bias: ValueId) -> Result<ValueId> {
        let column = |offset| Columns { value: text, offset };
        let (queries, options) = (Columns { value: queries, offset: 0 }, self.config.attention(Some(bias)));
        let mixed = kernels::attention(graph, queries, column(0), column(self.config.width()), options)?;
        self.to_out.forward(graph, mixed, Activation::None)
    }
}

/// Two linear layers with an activation between, four times as wide inside.
#[derive(Clone, Debug)]
pub struct FeedForward {
    activation: Activation,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    /// `ff.net.0.proj` and `ff.net.2`.
    pub fn load(scope: &mut Scope<'_>, config: &BlockConfig) -> Result<Self> {
        let (width, mut scope) = (config.width(), scope.within("ff"));
        let up = Linear::load(&mut scope, "net.0.proj", width, 4 * width, true)?;
        let down = Linear::load(&mut scope, "net.2", 4 * width, width, true)?;
        Ok(Self { activation: config.activation, up, down })
    }

    /// `x [B, k, C]` to `[B, k, C]`.
    pub fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        let hidden = self.up.forward(graph, x, self.activation)?;
        self.down.forward(graph, hidden, Activation::None)
    }
}
