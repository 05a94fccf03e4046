//! DiT (arXiv 2212.09748): a transformer over latent patches, conditioned on timestep and class by adaLN-Zero
//! (diffusers `DiTTransformer2DModel`).

use super::layers::{LayerNorm, Linear};
use super::patch_embed::{Noisy, PatchEmbed};
use super::timestep::TimestepEmbedding;
use super::transformer_block::{BlockConfig, FeedForward, SelfAttention};
use super::{Scope, Table};
use crate::Result;
use crate::compress::{BlockInput, StepPolicy};
use crate::config::Fields;
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Activation, Gate, Modulation, ReadRows};

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
        let config = Self {
            block: BlockConfig::read(&mut fields, 1e-5)?,
            layers: fields.count("num_layers", 28)?,
            in_channels,
            out_channels: fields.take("out_channels", in_channels)?,
            patch: fields.count("patch_size", 2)?,
            sample_size: fields.count("sample_size", 32)?,
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
    /// Patches to tokens.
    pub patch_embed: PatchEmbed,
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
        let proj_out_2 = Linear::precise(scope, "proj_out_2", width, c.patch * c.patch * c.out_channels)?;
        Ok(Self { patch_embed, blocks, proj_out_1, proj_out_2, config })
    }

    /// The rows of each block's class table for the batch's `labels`, as `(name, [B, C])`, to be stored under the names that
    /// [`DiT::forward`] looks for.
    pub async fn classes(&self, labels: &[u32]) -> Result<Vec<(String, crate::Tensor)>> {
        let mut stored = Vec::new();
        for (layer, block) in self.blocks.iter().enumerate() {
            let rows = block.classes.rows(labels).await?;
            stored.push((class_name(layer), crate::Tensor::new(&[labels.len(), block.classes.width()], rows)?));
        }
        Ok(stored)
    }

    /// The prediction `[B, Cout, H, W]` for the noisy latents of one step.
    pub fn forward(&self, graph: &mut Graph, noisy: Noisy, policy: StepPolicy<'_>) -> Result<ValueId> {
        let [_, _, height, width] = graph.dims("dit", noisy.latents)?;
        let grid = self.patch_embed.grid([height, width])?;

        graph.group("embed");
        let x = self.patch_embed.forward(graph, noisy)?; // [B, N, C]
        let layers = self.blocks.len();
        policy.blocks(graph, x, layers, |graph, layer| {
            let at = BlockInput { layer, layers, stream: x, modulated: None, grid, step: noisy.step };
            let conditioning = self.blocks[layer].conditioning(graph, layer, noisy)?;
            self.blocks[layer].forward(graph, at, conditioning, policy)
        })?;

        let conditioning = self.blocks[0].conditioning(graph, 0, noisy)?;
        graph.group("output");
        let emb = self.proj_out_1.forward(graph, conditioning, Activation::None)?; // [B, 2·C]
        let modulation = Modulation { emb, table: None, shift: 0, scale: 1 };
        let normed = LayerNorm::plain(1e-6).modulate(graph, x, modulation, ReadRows::All)?;
        let patches = self.proj_out_2.forward(graph, normed, Activation::None)?; // [B, N, p·p·Cout]
        kernels::unpatchify(graph, patches, self.config.patch, grid)
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
    fn conditioning(&self, graph: &mut Graph, layer: usize, noisy: Noisy) -> Result<ValueId> {
        graph.group(format!("block {layer} conditioning"));
        let timestep = self.timestep.of_step(graph, noisy.step)?; // [1, C]
        let class = graph.stored(class_name(layer), &[noisy.batch, self.classes.width()], Element::F32);
        let sum = kernels::add(graph, class, timestep)?;
        kernels::activation(graph, sum, Activation::Silu)
    }

    /// Updates the stream `[B, N, C]`.
    fn forward(&self, graph: &mut Graph, at: BlockInput, conditioning: ValueId, policy: StepPolicy<'_>) -> Result<()> {
        let BlockInput { layer, stream: x, .. } = at;
        let ada = self.ada_linear.forward(graph, conditioning, Activation::None)?; // [B, 6·C]
        let modulation = |shift, scale| Modulation { emb: ada, table: None, shift, scale };
        let gate = |chunk| Some(Gate { emb: ada, table: None, chunk });

        // The epsilon of adaLN-Zero's own norm is fixed.
        let norm1 = |graph: &mut Graph, read| LayerNorm::plain(1e-6).modulate(graph, x, modulation(0, 1), read);
        let (rows, h) = policy.enter(graph, at, norm1)?;
        let attended = self.attn1.forward(graph, h, at, rows)?;
        rows.attention.leave(graph, x, attended, gate(2))?;

        graph.group(format!("block {layer} mlp"));
        let h = self.norm3.modulate(graph, x, modulation(3, 4), rows.mlp.read)?;
        let h = rows.mlp.enter(graph, h)?;
        let h = self.ff.forward(graph, h)?;
        rows.mlp.leave(graph, x, h, gate(5))?;

        match rows.correction {
            None => Ok(()),
            Some(write) => {
                graph.group(format!("block {layer} policy"));
                kernels::residual(graph, x, attended, gate(2), write)
            }
        }
    }
}
