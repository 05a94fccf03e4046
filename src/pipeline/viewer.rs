//! What a run's latents look like at this moment.

use super::names::LATENTS;
use crate::device::{Device, Memory, Plan, Store};
use crate::graph::{Element, Graph};
use crate::kernels;
use crate::models::Decoder;
use crate::{Result, Size};

const PIXELS: &str = "pixels";

/// The decoding of a run's latents to pixels, compiled once and run for every preview.
#[derive(Debug)]
pub struct Viewer {
    device: Device,
    store: Store,
    plan: Plan,
    size: Size,
    /// Pixels from row to row.
    stride: usize,
}

impl Viewer {
    pub(super) async fn new(device: &Device, decoder: &dyn Decoder, store: &Store, latents: &[usize]) -> Result<Self> {
        let mut graph = Graph::new();
        let latents = graph.stored(LATENTS, latents, Element::F32);
        let picture = decoder.decode(&mut graph, latents)?;
        let [_, _, height, width] = graph.dims("texture", picture)?;
        let pixels = kernels::rgba(&mut graph, picture)?;
        let stride = graph.shape(pixels)[1];
        graph.store(pixels, PIXELS);
        let mut store = store.clone();
        store.allocate_missing(device, &graph).await?;
        let plan = Plan::compile(device, &graph, &store, Memory::Shared).await?;
        Ok(Self { device: device.clone(), store, plan, size: Size::new(width, height), stride })
    }

    /// The picture as a new texture on the run's device: `Rgba8Unorm` with sRGB-encoded values (it can be viewed as
    /// `Rgba8UnormSrgb`), for sampling and copying. Submits the work itself. Needs a GPU.
    pub fn texture(&self) -> Result<wgpu::Texture> {
        let gpu = self.device.gpu("a texture")?;
        self.plan.run(&self.device)?;
        let Size { width, height } = self.size;
        gpu.texture(self.store.buffer(PIXELS)?, self.stride as u32, width as u32, height as u32)
    }

    /// The picture as RGBA bytes, for hosts that cannot show a texture.
    pub async fn rgba(&self) -> Result<Vec<u8>> {
        self.plan.run(&self.device)?;
        let Size { width, height } = self.size;
        let bytes = self.device.read(self.store.buffer(PIXELS)?, 4 * (self.stride * height) as u64).await?;
        Ok(bytes.chunks_exact(4 * self.stride).flat_map(|row| &row[..4 * width]).copied().collect())
    }
}
