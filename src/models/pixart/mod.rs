//! PixArt-α and PixArt-Σ (arXiv 2310.00426, 2403.04692): a DiT with cross-attention to text and one adaLN for all
//! blocks (diffusers `PixArtTransformer2DModel`).

mod family;

use super::parts::{
    BlockConfig, CrossAttention, FeedForward, KeyCompressionConfig, LayerNorm, Linear, PatchEmbed, SelfAttention,
    TimestepEmbedding,
};
use super::t5::{PROMPT_EMBEDS, TEXT_BIAS};
use super::{Canvas, Denoiser, Given, Noisy, Preparation, Sizes};
use crate::compress::{Block as Driven, PolicyStep, Streams, Sublayer};
use crate::graph::{Element, Graph, ValueId, Weight};
use crate::kernels::{self, Activation, Gate, Modulation, NOTHING, ReadRows, WriteRows};
use crate::loading::{Fields, Scope};
use crate::rng::Generator;
use crate::shared::Work;
use crate::{Grid, Refusal, Request, Result, Size, Tensor};
pub use family::PixArtFamily;

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
        let out_channels = match fields.has("out_channels") {
            true => fields.optional_count("out_channels")?.unwrap_or(in_channels),
            false => 8,
        };
        let (patch, sample_size) = fields.patches(128)?;
        let layers = fields.count("num_layers", 28)?;
        let compression = fields.object("kv_compress_config")?;
        let config = Self {
            layers,
            in_channels,
            out_channels,
            patch,
            sample_size,
            interpolation: fields.positive("interpolation_scale", (sample_size / 64).max(1) as f64)?,
            size_conditions: fields.take("use_additional_conditions", sample_size == 128)?,
            caption_channels: fields.optional_count("caption_channels")?,
            cross_width: match fields.has("cross_attention_dim") {
                true => fields.optional_count("cross_attention_dim")?,
                false => Some(1152),
            },
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
    patch_embed: PatchEmbed,
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
        let proj_out = Linear::precise(scope, "proj_out", width, patch_embed.pixels(c.out_channels))?;
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

    /// Refuses text embeddings `[…, D]` of another width than the model's.
    fn check_width(&self, embeds: &[usize]) -> Result<()> {
        let width = self.config.text_width();
        if embeds.last() == Some(&width) {
            return Ok(());
        }
        let expected = format!("{width} numbers for each token");
        Err(Refusal::WrongShape { tensor: "prompt_embeds", found: embeds.to_vec(), expected }.into())
    }

    /// Every block's text keys and values, from the prompt's embeddings `[B, S, D]`.
    fn prepare_text(&self, preparation: &mut Preparation) -> Result<()> {
        let mut text = preparation.value(PROMPT_EMBEDS)?;
        let graph = &mut preparation.graph;
        self.check_width(graph.shape(text))?;
        graph.group("text");
        if let Some([first, second]) = &self.caption_projection {
            let hidden = first.forward(graph, text, Activation::GeluTanh)?;
            text = second.forward(graph, hidden, Activation::None)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            if let Some(attn2) = &block.attn2 {
                let kv = attn2.keys_and_values(graph, text)?;
                graph.store(kv, text_name(i));
            }
        }
        Ok(())
    }

    /// The embedding of the picture's size, where the checkpoint has such a condition. Height, width and aspect ratio
    /// are embedded one by one and lie side by side: three rows of C/3, each written through a row map.
    fn prepare_size(&self, preparation: &mut Preparation, pixels: Size) -> Result<()> {
        let Some([resolution, aspect_ratio]) = &self.size else { return Ok(()) };
        let (h, w, width) = (pixels.height as f32, pixels.width as f32, self.config.block.width());
        let zeroes = Tensor::new(&[1, 3, width / 3], vec![0.0; width])?;
        let embedding = preparation.input(SIZE_EMBEDDING, zeroes);
        for (embedder, name, values, rows) in [
            (resolution, RESOLUTION, vec![h, w], [0, 1, NOTHING]),
            (aspect_ratio, ASPECT_RATIO, vec![h / w], [NOTHING, NOTHING, 0]),
        ] {
            let values = preparation.input(name, Tensor::new(&[values.len()], values)?);
            let index = preparation.input(format!("{name}.rows"), Tensor::indices(&[1, 3], rows.to_vec())?);
            let rows = embedder.of_values(&mut preparation.graph, values)?; // [values, C/3]
            let write = WriteRows::Map { index, weight: None };
            kernels::residual(&mut preparation.graph, embedding, rows, None, write)?;
        }
        Ok(())
    }
}

impl Denoiser for PixArt {
    fn sizes(&self) -> Sizes {
        let Config { block, layers, in_channels, sample_size, .. } = &self.config;
        let (width, heads) = (block.width(), block.heads);
        Sizes { layers: *layers, width, heads, channels: *in_channels, sample_size: *sample_size }
    }

    fn grid(&self, latents: Size) -> Result<Grid> {
        self.patch_embed.grid(latents)
    }

    fn check(&self, request: &Request, _guided: bool) -> Result<()> {
        request.prompt_embeds.as_ref().map_or(Ok(()), |given| self.check_width(&given.embeds.shape))
    }

    fn prepare<'a>(&'a self, preparation: &'a mut Preparation, canvas: Canvas) -> Work<'a, ()> {
        Box::pin(async move {
            self.patch_embed.prepare(preparation, canvas.grid)?;
            self.prepare_text(preparation)?;
            self.prepare_size(preparation, canvas.pixels)
        })
    }

    fn forward(&self, graph: &mut Graph, noisy: Noisy, given: &Given, policy: &PolicyStep) -> Result<ValueId> {
        let grid = self.patch_embed.grid_of(graph, noisy)?;
        graph.group("embed");
        let x = self.patch_embed.forward(graph, noisy)?; // [B, N, C]
        let mut embedded = self.timestep.of_step(graph, noisy.step)?; // [1, C]
        if self.size.is_some() {
            let size = graph.stored(SIZE_EMBEDDING, &[1, self.config.block.width()], Element::F32);
            embedded = kernels::add(graph, embedded, size)?;
        }
        let activated = kernels::activation(graph, embedded, Activation::Silu)?;
        let ada = self.ada_linear.forward(graph, activated, Activation::None)?; // [1, 6·C]

        let streams = Streams { image: x, others: &[], grid, step: noisy.step };
        policy.blocks(graph, streams, self.blocks.len(), |graph, block| {
            self.blocks[block.layer()].forward(graph, block, ada, given)
        })?;

        graph.group("output");
        let table = Some(self.scale_shift_table.in_graph(graph));
        let modulation = Modulation { emb: embedded, table, shift: 0, scale: 1 };
        let normed = LayerNorm::plain(1e-6).modulate(graph, x, modulation, ReadRows::All)?;
        let patches = self.proj_out.forward(graph, normed, Activation::None)?; // [B, N, p·p·Cout]
        kernels::unpatchify(graph, patches, self.config.patch, grid)
    }

    fn stand_in(&self, samples: usize, text: usize) -> Result<Preparation> {
        let mut preparation = Preparation::default();
        let shape = [samples, text, self.config.text_width()];
        preparation.reserve(PROMPT_EMBEDS, &shape)?;
        let noise = Generator::manual_seed(1).randn(shape.iter().product());
        preparation.input(PROMPT_EMBEDS, Tensor::new(&shape, noise)?);
        preparation.input(TEXT_BIAS, Tensor::new(&[samples, text], vec![0.0; samples * text])?);
        Ok(preparation)
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
    fn forward(&self, graph: &mut Graph, block: &mut Driven<'_>, ada: ValueId, given: &Given) -> Result<()> {
        let (layer, x) = (block.layer(), block.stream());
        let table = Some(self.scale_shift_table.in_graph(graph));
        let modulation = |shift, scale| Modulation { emb: ada, table, shift, scale };
        let gate = |chunk| Some(Gate { emb: ada, table, chunk });

        let norm1 = |graph: &mut Graph, rows| self.norm1.modulate(graph, x, modulation(0, 1), rows);
        block.sublayer(graph, Sublayer::Attention, norm1, |g, h, attend| self.attn1.forward(g, h, attend), gate(2))?;

        if let Some(attn2) = &self.attn2 {
            let bias = given.value(graph, TEXT_BIAS)?; // [B, S]
            let text = given.value(graph, &text_name(layer))?; // [B, S, 2·C]
            // PixArt does not normalise here.
            let queries = |graph: &mut Graph, rows| attn2.queries(graph, x, rows);
            block.sublayer(graph, Sublayer::Cross, queries, |g, q, _| attn2.forward(g, q, text, bias), None)?;
        }

        let norm2 = |graph: &mut Graph, rows| self.norm2.modulate(graph, x, modulation(3, 4), rows);
        block.sublayer(graph, Sublayer::Mlp, norm2, |g, h, _| self.ff.forward(g, h), gate(5))
    }
}
