//! DiT (arXiv 2212.09748): a transformer over latent patches, conditioned on timestep and class by adaLN-Zero
//! (diffusers `DiTTransformer2DModel`).

mod family;

use super::parts::{BlockConfig, FeedForward, LayerNorm, Linear, PatchEmbed, SelfAttention, TimestepEmbedding};
use super::{Canvas, Denoiser, Given, Noisy, Preparation, Sizes};
use crate::compress::{Block as Driven, PolicyStep, Streams, Sublayer};
use crate::graph::{Graph, ValueId};
use crate::kernels::{self, Activation, Gate, Modulation, ReadRows};
use crate::loading::{Fields, Scope, Table};
use crate::shared::Work;
use crate::{Grid, Refusal, Request, Result, Size, Tensor};
pub use family::DitFamily;
use family::{LABELS, NULL_LABEL};

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
    /// Number of classes; one more row of each table stands for "no class".
    pub classes: usize,
}

impl Config {
    /// Reads the config, refusing what this engine does not implement.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let in_channels = fields.count("in_channels", 4)?;
        let (patch, sample_size) = fields.patches(32)?;
        let config = Self {
            block: BlockConfig::read(&mut fields, 1e-5)?,
            layers: fields.count("num_layers", 28)?,
            in_channels,
            out_channels: fields.optional_count("out_channels")?.unwrap_or(in_channels),
            patch,
            sample_size,
            classes: fields.count("num_embeds_ada_norm", 1000)?,
        };
        fields.only("_class_name", &["DiTTransformer2DModel".into()])?;
        fields.only("norm_type", &["ada_norm_zero".into()])?;
        fields.ignore(&["dropout", "norm_num_groups", "upcast_attention"]);
        fields.finish()?;
        Ok(config)
    }
}

/// The model's weights.
#[derive(Clone, Debug)]
pub struct DiT {
    /// Its config.
    pub config: Config,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    /// Shift and scale before the output layer.
    proj_out_1: Linear,
    proj_out_2: Linear,
}

#[derive(Clone, Debug)]
struct Block {
    /// In diffusers' layout each block has an embedding of timestep and class of its own.
    timestep: TimestepEmbedding,
    classes: Table,
    ada_linear: Linear,
    attn1: SelfAttention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl DiT {
    /// Asks for every tensor.
    pub fn load(config: Config, scope: &mut Scope<'_>) -> Result<Self> {
        let (width, c) = (config.block.width(), &config);
        let patch_embed = PatchEmbed::load(scope, c.in_channels, width, c.patch, c.sample_size, 1.0)?;
        let blocks = (0..c.layers)
            .map(|i| Block::load(&mut scope.within(&format!("transformer_blocks.{i}")), c))
            .collect::<Result<_>>()?;
        let proj_out_1 = Linear::precise(scope, "proj_out_1", width, 2 * width)?;
        let proj_out_2 = Linear::precise(scope, "proj_out_2", width, patch_embed.pixels(c.out_channels))?;
        Ok(Self { patch_embed, blocks, proj_out_1, proj_out_2, config })
    }

    /// Refuses a label that the class tables do not have.
    fn check_label(&self, label: u32) -> Result<()> {
        let classes = self.config.classes;
        match label {
            label if label as usize <= classes => Ok(()),
            NULL_LABEL => Err(Refusal::NoNullClass { label, classes }.into()),
            label => Err(Refusal::NoSuchClass { label, classes }.into()),
        }
    }

    /// Stores the rows of each block's class table that the batch's labels name.
    async fn prepare_classes(&self, preparation: &mut Preparation) -> Result<()> {
        let labels = preparation.tensor(LABELS).map(|labels| labels.u32().to_vec()).unwrap_or_default();
        labels.iter().try_for_each(|&label| self.check_label(label))?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let rows = block.classes.rows(&labels).await?;
            preparation.input(class_name(layer), Tensor::new(&[labels.len(), block.classes.width()], rows)?);
        }
        Ok(())
    }
}

impl Denoiser for DiT {
    fn sizes(&self) -> Sizes {
        let Config { block, layers, in_channels, sample_size, .. } = &self.config;
        let (width, heads) = (block.width(), block.heads);
        Sizes { layers: *layers, width, heads, channels: *in_channels, sample_size: *sample_size }
    }

    fn grid(&self, latents: Size) -> Result<Grid> {
        self.patch_embed.grid(latents)
    }

    fn check(&self, request: &Request, guided: bool) -> Result<()> {
        let mut labels = request.class.into_iter().chain(guided.then_some(NULL_LABEL));
        labels.try_for_each(|label| self.check_label(label))
    }

    fn prepare<'a>(&'a self, preparation: &'a mut Preparation, canvas: Canvas) -> Work<'a, ()> {
        Box::pin(async move {
            self.prepare_classes(preparation).await?;
            self.patch_embed.prepare(preparation, canvas.grid)
        })
    }

    fn forward(&self, graph: &mut Graph, noisy: Noisy, given: &Given, policy: &PolicyStep) -> Result<ValueId> {
        let grid = self.patch_embed.grid_of(graph, noisy)?;
        graph.group("embed");
        let x = self.patch_embed.forward(graph, noisy)?; // [B, N, C]
        let streams = Streams { image: x, others: &[], grid, step: noisy.step };
        policy.blocks(graph, streams, self.blocks.len(), |graph, block| {
            let layer = block.layer();
            let conditioning = self.blocks[layer].conditioning(graph, layer, noisy, given)?;
            self.blocks[layer].forward(graph, block, conditioning)
        })?;

        let conditioning = self.blocks[0].conditioning(graph, 0, noisy, given)?;
        graph.group("output");
        let emb = self.proj_out_1.forward(graph, conditioning, Activation::None)?; // [B, 2·C]
        let modulation = Modulation { emb, table: None, shift: 0, scale: 1 };
        let normed = LayerNorm::plain(1e-6).modulate(graph, x, modulation, ReadRows::All)?;
        let patches = self.proj_out_2.forward(graph, normed, Activation::None)?; // [B, N, p·p·Cout]
        kernels::unpatchify(graph, patches, self.config.patch, grid)
    }

    fn stand_in(&self, samples: usize, _text: usize) -> Result<Preparation> {
        let mut preparation = Preparation::default();
        let labels = (0..samples).map(|sample| (sample % self.config.classes) as u32).collect();
        preparation.input(LABELS, Tensor::indices(&[samples], labels)?);
        Ok(preparation)
    }
}

/// The stored class embedding of a block.
fn class_name(layer: usize) -> String {
    format!("class.{layer}")
}

impl Block {
    fn load(scope: &mut Scope<'_>, config: &Config) -> Result<Self> {
        let (block, width) = (&config.block, config.block.width());
        let mut norm1 = scope.within("norm1");
        let mut emb = norm1.within("emb");
        let timestep = TimestepEmbedding::load(&mut emb, "timestep_embedder", width, 1.0)?;
        let classes = emb.table("class_embedder.embedding_table.weight", [config.classes + 1, width])?;
        Ok(Self {
            timestep,
            classes,
            ada_linear: Linear::load(&mut norm1, "linear", width, 6 * width, true)?,
            attn1: SelfAttention::load(scope, block, None)?,
            norm3: LayerNorm::load(scope, "norm3", width, block.norm_eps, block.norm_affine)?,
            ff: FeedForward::load(scope, block)?,
        })
    }

    /// `silu(timestep + class) [B, C]`.
    fn conditioning(&self, graph: &mut Graph, layer: usize, noisy: Noisy, given: &Given) -> Result<ValueId> {
        graph.group(format!("block {layer} conditioning"));
        let timestep = self.timestep.of_step(graph, noisy.step)?; // [1, C]
        let class = given.value(graph, &class_name(layer))?; // [B, C]
        let sum = kernels::add(graph, class, timestep)?;
        kernels::activation(graph, sum, Activation::Silu)
    }

    /// Updates the stream `[B, N, C]`.
    fn forward(&self, graph: &mut Graph, block: &mut Driven<'_>, conditioning: ValueId) -> Result<()> {
        let x = block.stream();
        let ada = self.ada_linear.forward(graph, conditioning, Activation::None)?; // [B, 6·C]
        let modulation = |shift, scale| Modulation { emb: ada, table: None, shift, scale };
        let gate = |chunk| Some(Gate { emb: ada, table: None, chunk });

        // The epsilon of adaLN-Zero's own norm is fixed.
        let norm1 = |graph: &mut Graph, rows| LayerNorm::plain(1e-6).modulate(graph, x, modulation(0, 1), rows);
        block.sublayer(graph, Sublayer::Attention, norm1, |g, h, attend| self.attn1.forward(g, h, attend), gate(2))?;

        let norm3 = |graph: &mut Graph, rows| self.norm3.modulate(graph, x, modulation(3, 4), rows);
        block.sublayer(graph, Sublayer::Mlp, norm3, |g, h, _| self.ff.forward(g, h), gate(5))
    }
}
