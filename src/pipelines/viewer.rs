//! What a run's latents look like at this moment, without reading them back.

use super::denoise::LATENTS;
use crate::Result;
use crate::device::{Device, Memory, Plan, Store};
use crate::graph::{Element, Graph};
use crate::kernels;
use crate::models::autoencoder_kl::AutoencoderKl;

const PIXELS: &str = "pixels";

/// The decoding of a run's latents to pixels, compiled once and replayed for every preview.
#[derive(Debug)]
pub struct Viewer {
    gpu: Device,
    store: Store,
    plan: Plan,
    size: [usize; 2],
    /// Pixels from row to row.
    stride: usize,
}

impl Viewer {
    pub(super) async fn new(gpu: &Device, vae: &AutoencoderKl, store: &Store, latents: &[usize]) -> Result<Self> {
        let mut graph = Graph::new();
        let latents = graph.stored(LATENTS, latents, Element::F32);
        let picture = vae.decode(&mut graph, latents)?;
        let [_, _, height, width] = graph.dims("texture", picture)?;
        let pixels = kernels::rgba(&mut graph, picture)?;
        let stride = graph.shape(pixels)[1];
        graph.keep(pixels, PIXELS);
        let mut store = store.clone();
        store.allocate_missing(gpu, &graph).await?;
        let plan = Plan::compile(gpu, &graph, &store, Memory::Shared).await?;
        Ok(Self { gpu: gpu.clone(), store, plan, size: [width, height], stride })
    }

    /// The picture as a texture on the run's device.
    pub fn texture(&self) -> Result<wgpu::Texture> {
        let gpu = self.gpu.gpu("a texture")?;
        self.decode()?;
        let [width, height] = self.size.map(|side| side as u32);
        gpu.texture(self.store.buffer(PIXELS)?, self.stride as u32, width, height)
    }

    /// The picture as RGBA bytes, for who has no texture to show it with.
    pub async fn rgba(&self) -> Result<Vec<u8>> {
        self.decode()?;
        let [width, height] = self.size;
        let bytes = self.gpu.read(self.store.buffer(PIXELS)?, 4 * (self.stride * height) as u64).await?;
        Ok(bytes.chunks_exact(4 * self.stride).flat_map(|row| &row[..4 * width]).copied().collect())
    }

    fn decode(&self) -> Result<()> {
        self.plan.run(&self.gpu)
    }
}
