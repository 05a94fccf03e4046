//! The T5 encoder (arXiv 1910.10683): pre-norm blocks without biases, one table of relative positions for all layers
//! (transformers `T5EncoderModel`).

mod prompts;

use super::parts::{Linear, RmsNorm, attend_packed};
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Activation, Attention, WriteRows};
use crate::loading::{Fields, Scope, Table};
use crate::{Refusal, Result, Tensor};
pub use prompts::{PROMPT_EMBEDS, Prompts, TEXT_BIAS};

/// Stored: the embedded tokens `[B, S, D]`.
pub const EMBEDDED: &str = "t5.embedded";
/// Stored: the mask `[B, S]`, 0 where a token counts and [`MASKED`] where not.
pub const MASK: &str = "t5.mask";
/// Stored: the relative position bias `[H, S, S]`.
pub const POSITION_BIAS: &str = "t5.position_bias";
/// Weighs nothing against any real score, and stays finite when a position bias is added.
pub const MASKED: f32 = -1e30;

/// `text_encoder/config.json`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Width D.
    pub width: usize,
    heads: usize,
    head_dim: usize,
    ff_width: usize,
    layers: usize,
    vocabulary: usize,
    buckets: usize,
    max_distance: usize,
    eps: f32,
    gated: bool,
    activation: Activation,
}

impl Config {
    /// Reads the fields that shape the encoder. A transformers config holds dozens more, of generation and training;
    /// none of them changes the encoder.
    pub fn read(mut fields: Fields) -> Result<Self> {
        fields.only("model_type", &["t5".into()])?;
        let projection: String = fields.take("feed_forward_proj", "relu".into())?;
        let (gated, name) = match projection.strip_prefix("gated-") {
            Some(name) => (true, name),
            None => (false, projection.as_str()),
        };
        let activation = match (gated, name) {
            (_, "relu") => Activation::Relu,
            (_, "silu") => Activation::Silu,
            (true, "gelu") | (_, "gelu_new") => Activation::GeluTanh,
            (false, "gelu") => Activation::GeluErf,
            _ => {
                let why = "only relu, silu, gelu, gelu_new and their gated forms are implemented";
                return Err(fields.refuse("feed_forward_proj", &projection.clone().into(), why));
            }
        };
        let (heads, head_dim) = fields.heads(("num_heads", 8), ("d_kv", 64))?;
        let buckets = fields.count("relative_attention_num_buckets", 32)?;
        if buckets < 4 {
            let why = "a quarter of them is for the nearest tokens, and there must be one";
            return Err(fields.refuse("relative_attention_num_buckets", &buckets.into(), why));
        }
        let max_distance = fields.count("relative_attention_max_distance", 128)?;
        if max_distance <= buckets / 4 {
            let why = "the nearest tokens have buckets of their own, and it must lie beyond them";
            return Err(fields.refuse("relative_attention_max_distance", &max_distance.into(), why));
        }
        Ok(Self {
            width: fields.count("d_model", 512)?,
            heads,
            head_dim,
            ff_width: fields.count("d_ff", 2048)?,
            layers: fields.count("num_layers", 6)?,
            vocabulary: fields.count("vocab_size", 32_128)?,
            buckets,
            max_distance,
            eps: fields.positive("layer_norm_epsilon", 1e-6)? as f32,
            gated,
            activation,
        })
    }
}

/// The encoder's weights.
#[derive(Clone, Debug)]
pub struct T5 {
    /// Its config.
    pub config: Config,
    /// Word embeddings, read token by token.
    words: Table,
    /// `[buckets, heads]`, turned into a bias on the host.
    positions: Table,
    blocks: Vec<Block>,
    final_norm: RmsNorm,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: RmsNorm,
    qkv: Linear,
    out: Linear,
    ff_norm: RmsNorm,
    /// `wi`, or `wi_0` and `wi_1` where gated.
    up: Vec<Linear>,
    down: Linear,
}

impl T5 {
    /// Asks for every tensor of the encoder.
    pub fn load(config: Config, scope: &mut Scope<'_>) -> Result<Self> {
        let c = &config;
        let words = match scope.has("shared.weight") {
            true => "shared.weight",
            false => "encoder.embed_tokens.weight",
        };
        let words = scope.table(words, [c.vocabulary, c.width])?;
        let mut encoder = scope.within("encoder");
        let bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight";
        let positions = encoder.table(bias, [c.buckets, c.heads])?;
        let blocks =
            (0..c.layers).map(|i| Block::load(&mut encoder.within(&format!("block.{i}")), c)).collect::<Result<_>>()?;
        let final_norm = RmsNorm::load(&mut encoder, "final_layer_norm", c.width, c.eps)?;
        Ok(Self { words, positions, blocks, final_norm, config })
    }

    /// How many tokens it knows.
    pub fn vocabulary(&self) -> usize {
        self.words.len()
    }

    /// Tensors of a whole T5 that the encoder has no use for.
    pub fn unused(name: &str) -> bool {
        name.starts_with("decoder.") || name.starts_with("lm_head.") || name == "encoder.embed_tokens.weight"
    }

    /// The shapes of what [`T5::inputs`] returns for `batch` texts of `length` tokens.
    pub fn shapes(&self, batch: usize, length: usize) -> [(&'static str, Vec<usize>); 3] {
        [
            (EMBEDDED, vec![batch, length, self.config.width]),
            (MASK, vec![batch, length]),
            (POSITION_BIAS, vec![self.config.heads, length, length]),
        ]
    }

    /// Refuses ids `[B][S]` of which one is no token.
    pub fn check(&self, ids: &[Vec<u32>]) -> Result<()> {
        let known = self.words.len();
        match ids.iter().flatten().find(|id| **id as usize >= known) {
            Some(&id) => Err(Refusal::NoSuchToken { id, known }.into()),
            None => Ok(()),
        }
    }

    /// What [`T5::forward`] finds stored: embedded tokens, mask and position bias of token ids and mask, each `[B][S]`.
    pub async fn inputs(&self, ids: &[Vec<u32>], mask: &[Vec<u32>]) -> Result<Vec<(&'static str, Tensor)>> {
        let (batch, length) = (ids.len(), ids.first().map_or(0, Vec::len));
        self.check(ids)?;
        let embedded = self.words.rows(&ids.concat()).await?;
        let bias = mask.concat().into_iter().map(|m| if m == 0 { MASKED } else { 0.0 }).collect();
        Ok(vec![
            (EMBEDDED, Tensor::new(&[batch, length, self.config.width], embedded)?),
            (MASK, Tensor::new(&[batch, length], bias)?),
            (POSITION_BIAS, self.position_bias(length).await?),
        ])
    }

    /// The last hidden state `[B, S, D]`.
    pub fn forward(&self, graph: &mut Graph, batch: usize, length: usize) -> Result<ValueId> {
        let c = &self.config;
        let embedded = graph.stored(EMBEDDED, &[batch, length, c.width], Element::F32);
        let key_bias = Some(graph.stored(MASK, &[batch, length], Element::F32));
        let position_bias = Some(graph.stored(POSITION_BIAS, &[c.heads, length, length], Element::F32));
        // T5 folds 1/√d into its weights.
        let attention = Attention { heads: c.heads, head_dim: c.head_dim, scale: 1.0, key_bias, position_bias };
        // Its hidden numbers are known to leave the range of f16.
        graph.beyond_f16(|graph| self.add_blocks(graph, embedded, attention))
    }

    fn add_blocks(&self, graph: &mut Graph, x: ValueId, attention: Attention) -> Result<ValueId> {
        let c = &self.config;
        // x is updated in place.
        for (layer, block) in self.blocks.iter().enumerate() {
            graph.group(format!("text encoder {layer}"));
            let h = block.attention_norm.forward(graph, x)?;
            let qkv = block.qkv.forward(graph, h, Activation::None)?;
            let h = attend_packed(graph, qkv, attention)?;
            let h = block.out.forward(graph, h, Activation::None)?;
            kernels::residual(graph, x, h, None, WriteRows::All)?;

            let h = block.ff_norm.forward(graph, x)?;
            let mut hidden = block.up[0].forward(graph, h, c.activation)?;
            if let Some(linear) = block.up.get(1) {
                let other = linear.forward(graph, h, Activation::None)?;
                hidden = kernels::multiply(graph, hidden, other)?;
            }
            let h = block.down.forward(graph, hidden, Activation::None)?;
            kernels::residual(graph, x, h, None, WriteRows::All)?;
        }
        self.final_norm.forward(graph, x)
    }

    /// `[H, S, S]`: the learned bias of each head for each distance from query to key.
    async fn position_bias(&self, length: usize) -> Result<Tensor> {
        let heads = self.config.heads;
        let table = self.positions.rows(&(0..self.config.buckets as u32).collect::<Vec<_>>()).await?;
        let mut values = Vec::with_capacity(heads * length * length);
        for head in 0..heads {
            for query in 0..length {
                let bucket = |key: usize| self.bucket(key as i64 - query as i64);
                values.extend((0..length).map(|key| table[bucket(key) * heads + head]));
            }
        }
        Tensor::new(&[heads, length, length], values)
    }

    /// Keys after the query take the upper half of the buckets. In each half, small distances have a bucket each,
    /// larger ones share buckets that widen logarithmically (in f32, as transformers does).
    fn bucket(&self, distance: i64) -> usize {
        let half = self.config.buckets / 2;
        let exact = half / 2;
        let side = if distance > 0 { half } else { 0 };
        let distance = distance.unsigned_abs() as usize;
        if distance < exact {
            return side + distance;
        }
        let span = (self.config.max_distance as f64 / exact as f64).ln() as f32;
        let wide = (distance as f32 / exact as f32).ln() / span * (half - exact) as f32;
        side + exact.saturating_add(wide as usize).min(half - 1)
    }
}

impl Block {
    fn load(scope: &mut Scope<'_>, c: &Config) -> Result<Self> {
        let inner = c.heads * c.head_dim;
        let mut attention = scope.within("layer.0");
        let attention_norm = RmsNorm::load(&mut attention, "layer_norm", c.width, c.eps)?;
        let mut projections = attention.within("SelfAttention");
        let qkv = Linear::stacked(&mut projections, &["q", "k", "v"], c.width, inner, false)?;
        let out = Linear::load(&mut projections, "o", inner, c.width, false)?;

        let mut ff = scope.within("layer.1");
        let ff_norm = RmsNorm::load(&mut ff, "layer_norm", c.width, c.eps)?;
        let mut dense = ff.within("DenseReluDense");
        let names: &[&str] = if c.gated { &["wi_0", "wi_1"] } else { &["wi"] };
        let up = names
            .iter()
            .map(|name| Linear::load(&mut dense, name, c.width, c.ff_width, false))
            .collect::<Result<_>>()?;
        let down = Linear::load(&mut dense, "wo", c.ff_width, c.width, false)?;
        Ok(Self { attention_norm, qkv, out, ff_norm, up, down })
    }
}
