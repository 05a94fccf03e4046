//! PixArt-α and PixArt-Σ (arXiv 2310.00426, 2403.04692): a DiT with cross-attention to text and one adaLN for all
//! blocks (diffusers `PixArtTransformer2DModel`).

use super::Scope;
use super::key_compression::KeyCompressionConfig;
use super::layers::{LayerNorm, Linear};
use super::patch_embed::{Noisy, PatchEmbed};
use super::timestep::TimestepEmbedding;
use super::transformer_block::{BlockConfig, CrossAttention, FeedForward, SelfAttention};
use crate::compress::{BlockInput, StepPolicy};
use crate::config::Fields;
use crate::graph::{Element, Graph, ValueId, Weight};
use crate::kernels::{self, Activation, Gate, Modulation, NOTHING, ReadRows, WriteRows};
use crate::{Result, Tensor};

/// Stored: the mask of the text `[B, S]`, 0 where a token counts and −10000 where not.
pub const TEXT_BIAS: &str = "text.bias";
const RESOLUTION: &str = "size.resolution";
const ASPECT_RATIO: &str = "size.aspect_ratio";
const SIZE_EMBEDDING: &str = "size.embedding";

/// `transformer/config.json`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shared by all blocks.
    pub block: BlockConfig,
    /// Number of blocks.
    pub layers: usize,
    /// Latent channels in.
    pub in_channels: usize,
    /// Latent channels out; twice `in_channels` where the model also learned a variance.
    pub out_channels: usize,
    /// Latent pixels per token side.
    pub patch: usize,
    /// The trained latent's side.
    pub sample_size: usize,
    /// Stretch of the positions.
    pub interpolation: f64,
    /// Whether the picture's size is a condition (PixArt-α at 1024).
    pub size_conditions: bool,
    /// Width of the text encoder's output; none: the text comes at `cross_width`.
    pub caption_channels: Option<usize>,
    /// Width of the text as cross-attention sees it; none: there is no cross-attention.
    pub cross_width: Option<usize>,
    /// Compression of self-attention's keys and values in some layers.
    pub key_compression: Option<KeyCompressionConfig>,
}

impl Config {
    /// Width of the text as it comes from the text encoder.
    pub fn text_width(&self) -> usize {
        self.caption_channels.or(self.cross_width).unwrap_or(0)
    }

    /// Reads the config, refusing what this engine does not implement.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let block = BlockConfig::read(&mut fields, 1e-6)?;
        let in_channels = fields.count("in_channels", 4)?;
        // `null` is a value here: as many channels out as in. Absent means the class's default of 8.
        let out_channels = fields.nullable("out_channels", 8)?.unwrap_or(in_channels);
        let sample_size: usize = fields.count("sample_size", 128)?;
        let layers = fields.count("num_layers", 28)?;
        let compression = fields.object("kv_compress_config")?;
        let config = Self {
            layers,
            in_channels,
            out_channels,
            patch: fields.count("patch_size", 2)?,
            sample_size,
            interpolation: fields.take("interpolation_scale", (sample_size / 64).max(1) as f64)?,
            size_conditions: fields.take("use_additional_conditions", sample_size == 128)?,
            caption_channels: fields.optional("caption_channels")?,
            cross_width: fields.nullable("cross_attention_dim", 1152)?,
            key_compression: match compression {
                None => None,
                Some(fields) => KeyCompressionConfig::read(fields, layers)?,
            },
            block,
        };
        fields.only("_class_name", &["PixArtTransformer2DModel".into()])?;
        fields.only("norm_type", &["ada_norm_single".into()])?;
        fields.only("attention_type", &["default".into()])?;
        fields.ignore(&[
            "dropout",
            "norm_num_groups",
            "num_embeds_ada_norm",
            "upcast_attention",
            "use_linear_projection",
            "num_vector_embeds",
        ]);
        fields.finish()?;
        Ok(config)
    }
}

/// The model's weights.
#[derive(Clone, Debug)]
pub struct PixArt {
    /// Its config.
    pub config: Config,
    /// Patches to tokens.
    pub patch_embed: PatchEmbed,
    timestep: TimestepEmbedding,
    /// Embeddings of resolution and aspect ratio, a third of the width each.
    size: Option<[TimestepEmbedding; 2]>,
    ada_linear: Linear,
    caption_projection: Option<[Linear; 2]>,
    blocks: Vec<Block>,
    /// `[2, C]`: shift and scale before the output layer.
    scale_shift_table: Weight,
    proj_out: Linear,
}

#[derive(Clone, Debug)]
struct Block {
    /// `[6, C]`: shift, scale and gate of self-attention, then of the feed-forward.
    scale_shift_table: Weight,
    norm1: LayerNorm,
    attn1: SelfAttention,
    attn2: Option<CrossAttention>,
    norm2: LayerNorm,
    ff: FeedForward,
}

/// The text as the blocks see it.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Samples: 1, or 2 under guidance, for each latent.
    pub batch: usize,
    /// Tokens S.
    pub length: usize,
}

impl PixArt {
    /// Asks for every tensor.
    pub fn load(config: Config, scope: &mut Scope<'_>) -> Result<Self> {
        let (width, c) = (config.block.width(), &config);
        let patch_embed = PatchEmbed::load(scope, c.in_channels, width, c.patch, c.sample_size, c.interpolation)?;
        let mut ada = scope.within("adaln_single");
        let mut emb = ada.within("emb");
        let timestep = TimestepEmbedding::load(&mut emb, "timestep_embedder", width, 0.0)?;
        let size = match c.size_conditions {
            false => None,
            true => Some([
                TimestepEmbedding::load(&mut emb, "resolution_embedder", width / 3, 0.0)?,
                TimestepEmbedding::load(&mut emb, "aspect_ratio_embedder", width / 3, 0.0)?,
            ]),
        };
        let ada_linear = Linear::load(&mut ada, "linear", width, 6 * width, true)?;
        let caption_projection = match c.caption_channels {
            None => None,
            Some(channels) => {
                let mut scope = scope.within("caption_projection");
                let first = Linear::load(&mut scope, "linear_1", channels, width, true)?;
                Some([first, Linear::load(&mut scope, "linear_2", width, width, true)?])
            }
        };
        let blocks = (0..c.layers)
            .map(|i| Block::load(&mut scope.within(&format!("transformer_blocks.{i}")), c, i))
            .collect::<Result<_>>()?;
        let scale_shift_table = scope.vector("scale_shift_table", &[2, width])?;
        let proj_out = Linear::precise(scope, "proj_out", width, c.patch * c.patch * c.out_channels)?;
        Ok(Self {
            patch_embed,
            timestep,
            size,
            ada_linear,
            caption_projection,
            blocks,
            scale_shift_table,
            proj_out,
            config,
        })
    }

    /// What does not change from step to step, from `prompt_embeds [B, S, D]`: every block's text keys and values, and
    /// the embedding of the picture's size. Kept under the names that [`PixArt::forward`] looks for.
    pub fn prepare(&self, graph: &mut Graph, prompt_embeds: ValueId) -> Result<()> {
        graph.group("text");
        let mut text = prompt_embeds;
        if let Some([first, second]) = &self.caption_projection {
            let hidden = first.forward(graph, text, Activation::GeluTanh)?;
            text = second.forward(graph, hidden, Activation::None)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            if let Some(attn2) = &block.attn2 {
                let kv = attn2.keys_and_values(graph, text)?;
                graph.keep(kv, text_name(i));
            }
        }
        if let Some([resolution, aspect_ratio]) = &self.size {
            // Height, width and ratio are embedded one by one and lie side by side: three rows of C/3, each written
            // through a row map.
            let third = self.config.block.width() / 3;
            let embedding = graph.stored(SIZE_EMBEDDING, &[1, 3, third], Element::F32);
            for (embedder, name, count) in [(resolution, RESOLUTION, 2), (aspect_ratio, ASPECT_RATIO, 1)] {
                let values = graph.stored(name, &[count], Element::F32);
                let rows = embedder.of_values(graph, values)?; // [count, C/3]
                let index = graph.stored(format!("{name}.rows"), &[1, 3], Element::U32);
                kernels::residual(graph, embedding, rows, None, WriteRows::Map { index, weight: None })?;
            }
        }
        Ok(())
    }

    /// What [`PixArt::prepare`] finds stored of a picture's size in pixels; nothing where the checkpoint has no such condition.
    pub fn size_inputs(&self, height: usize, width: usize) -> Result<Vec<(String, Tensor)>> {
        if self.size.is_none() {
            return Ok(Vec::new());
        }
        let (h, w) = (height as f32, width as f32);
        Ok(vec![
            (RESOLUTION.into(), Tensor::new(&[2], vec![h, w])?),
            (format!("{RESOLUTION}.rows"), Tensor::indices(&[1, 3], vec![0, 1, NOTHING])?),
            (ASPECT_RATIO.into(), Tensor::new(&[1], vec![h / w])?),
            (format!("{ASPECT_RATIO}.rows"), Tensor::indices(&[1, 3], vec![NOTHING, NOTHING, 0])?),
            (
                SIZE_EMBEDDING.into(),
                Tensor::new(&[1, 3, self.config.block.width() / 3], vec![0.0; self.config.block.width()])?,
            ),
        ])
    }

    /// The prediction `[B, Cout, H, W]` for the noisy latents of one step.
    pub fn forward(&self, graph: &mut Graph, noisy: Noisy, text: Text, policy: StepPolicy<'_>) -> Result<ValueId> {
        let [_, _, height, width] = graph.dims("pixart", noisy.latents)?;
        let grid = self.patch_embed.grid([height, width])?;
        let channels = self.config.block.width();

        graph.group("embed");
        let x = self.patch_embed.forward(graph, noisy)?; // [B, N, C]
        let mut embedded = self.timestep.of_step(graph, noisy.step)?; // [1, C]
        if self.size.is_some() {
            let size = graph.stored(SIZE_EMBEDDING, &[1, channels], Element::F32);
            embedded = kernels::add(graph, embedded, size)?;
        }
        let activated = kernels::activation(graph, embedded, Activation::Silu)?;
        let ada = self.ada_linear.forward(graph, activated, Activation::None)?; // [1, 6·C]

        let layers = self.blocks.len();
        policy.blocks(graph, x, layers, |graph, layer| {
            let at = BlockInput { layer, layers, stream: x, modulated: None, grid, step: noisy.step };
            self.blocks[layer].forward(graph, at, ada, text, policy)
        })?;

        graph.group("output");
        let table = Some(self.scale_shift_table.in_graph(graph));
        let modulation = Modulation { emb: embedded, table, shift: 0, scale: 1 };
        let normed = LayerNorm::plain(1e-6).modulate(graph, x, modulation, ReadRows::All)?;
        let patches = self.proj_out.forward(graph, normed, Activation::None)?; // [B, N, p·p·Cout]
        kernels::unpatchify(graph, patches, self.config.patch, grid)
    }
}

/// The stored text keys and values of a block.
fn text_name(layer: usize) -> String {
    format!("text.{layer}")
}

impl Block {
    fn load(scope: &mut Scope<'_>, config: &Config, layer: usize) -> Result<Self> {
        let (block, width) = (&config.block, config.block.width());
        let compression = config.key_compression.as_ref().filter(|of| of.layers.contains(&layer));
        Ok(Self {
            scale_shift_table: scope.vector("scale_shift_table", &[6, width])?,
            norm1: LayerNorm::load(scope, "norm1", width, block.norm_eps, block.norm_affine)?,
            attn1: SelfAttention::load(scope, block, compression)?,
            attn2: match config.cross_width {
                None => None,
                Some(text_width) => Some(CrossAttention::load(scope, block, text_width)?),
            },
            norm2: LayerNorm::load(scope, "norm2", width, block.norm_eps, block.norm_affine)?,
            ff: FeedForward::load(scope, block)?,
        })
    }

    /// Updates the stream `[B, N, C]`. `ada [1, 6·C]` is the timestep's modulation, to which each block adds its table.
    fn forward(
        &self,
        graph: &mut Graph,
        at: BlockInput,
        ada: ValueId,
        text: Text,
        policy: StepPolicy<'_>,
    ) -> Result<()> {
        let BlockInput { layer, stream: x, .. } = at;
        let table = Some(self.scale_shift_table.in_graph(graph));
        let modulation = |shift, scale| Modulation { emb: ada, table, shift, scale };
        let gate = |chunk| Some(Gate { emb: ada, table, chunk });

        let norm1 = |graph: &mut Graph, read| self.norm1.modulate(graph, x, modulation(0, 1), read);
        let (rows, h) = policy.enter(graph, at, norm1)?;
        let attended = self.attn1.forward(graph, h, at, rows)?;
        rows.attention.leave(graph, x, attended, gate(2))?;

        let mut told = None;
        if let Some(attn2) = &self.attn2 {
            // PixArt does not normalise here.
            graph.group(format!("block {layer} text"));
            let [batch, length] = [text.batch, text.length];
            let bias = graph.stored(TEXT_BIAS, &[batch, length], Element::F32);
            let kv = graph.stored(text_name(layer), &[batch, length, 2 * graph.shape(x)[2]], Element::F32);
            let h = attn2.forward(graph, x, kv, bias, rows.cross.read)?;
            rows.cross.leave(graph, x, h, None)?;
            told = Some(h);
        }

        graph.group(format!("block {layer} mlp"));
        let h = self.norm2.modulate(graph, x, modulation(3, 4), rows.mlp.read)?;
        let h = rows.mlp.enter(graph, h)?;
        let h = self.ff.forward(graph, h)?;
        rows.mlp.leave(graph, x, h, gate(5))?;

        if let Some(write) = rows.correction {
            graph.group(format!("block {layer} policy"));
            kernels::residual(graph, x, attended, gate(2), write)?;
            told.map_or(Ok(()), |told| kernels::residual(graph, x, told, None, write))?;
        }
        Ok(())
    }
}
