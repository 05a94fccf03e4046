//! What a transformer is told beside the latents, put into the store once per request: positions, and either classes or
//! text.

use crate::device::{Device, Memory, Plan, Store};
use crate::graph::{Graph, ValueId};
use crate::models::dit::DiT;
use crate::models::patch_embed::POSITIONS;
use crate::models::pixart::{PixArt, TEXT_BIAS};
use crate::{Result, Tensor};

/// The batch's classes, one label a sample.
pub(super) async fn classes(
    gpu: &Device,
    store: &mut Store,
    model: &DiT,
    grid: [usize; 2],
    labels: &[u32],
) -> Result<()> {
    for (name, rows) in model.classes(labels).await? {
        store.insert(gpu, &name, &rows).await?;
    }
    store.insert(gpu, POSITIONS, &model.patch_embed.positions(grid)?).await
}

/// The batch's text.
pub(super) struct Encoded {
    /// Makes `embeds`, or finds them stored.
    pub graph: Graph,
    /// `[B, S, D]`.
    pub embeds: ValueId,
    /// 0 where a token counts and −10000 where not, `[B, S]`.
    pub bias: Tensor,
}

/// Runs the part of the transformer that sees text alone, after what `encoded` still has to compute. `pixels` are height
/// and width of the picture.
pub(super) async fn text(
    gpu: &Device,
    store: &mut Store,
    model: &PixArt,
    grid: [usize; 2],
    pixels: [usize; 2],
    encoded: Encoded,
) -> Result<()> {
    let Encoded { mut graph, embeds, bias } = encoded;
    store.insert(gpu, POSITIONS, &model.patch_embed.positions(grid)?).await?;
    for (name, tensor) in model.size_inputs(pixels[0], pixels[1])? {
        store.insert(gpu, &name, &tensor).await?;
    }
    store.insert(gpu, TEXT_BIAS, &bias).await?;
    model.prepare(&mut graph, embeds)?;
    store.allocate_missing(gpu, &graph).await?;
    let plan = Plan::compile(gpu, &graph, store, Memory::Shared).await?;
    plan.run(gpu)?;
    gpu.check()
}
