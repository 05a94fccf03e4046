//! What a run's latents look like at this moment.

use std::time::Duration;

use super::names::LATENTS;
use crate::device::{Copy, Device, Memory, Plan, Program, Store};
use crate::gpu::Cursor;
use crate::graph::{Element, Graph};
use crate::kernels;
use crate::models::Decoder;
use crate::{Error, Result, Size};

const PIXELS: &str = "pixels";
/// The latents that are decoded: those of the run may change before a decoding in slices is done.
const VIEWED: &str = "viewed";

/// The decoding of a run's latents to pixels, compiled once and run for every preview.
#[derive(Debug)]
pub struct Viewer {
    device: Device,
    store: Store,
    /// Takes the latents as they are.
    take: Box<dyn Program>,
    plan: Plan,
    size: Size,
    /// Pixels from row to row.
    stride: usize,
    /// How far a picture is encoded.
    at: Cursor,
}

impl Viewer {
    pub(super) async fn new(device: &Device, decoder: &dyn Decoder, store: &Store, latents: &[usize]) -> Result<Self> {
        let mut graph = Graph::new();
        let viewed = graph.stored(VIEWED, latents, Element::F32);
        let picture = decoder.decode(&mut graph, viewed)?;
        let [_, _, height, width] = graph.dims("texture", picture)?;
        let pixels = kernels::rgba(&mut graph, picture)?;
        let stride = graph.shape(pixels)[1];
        graph.store(pixels, PIXELS);
        let mut store = store.clone();
        store.allocate_missing(device, &graph).await?;
        let (from, to) = (store.buffer(LATENTS)?.clone(), store.buffer(VIEWED)?.clone());
        let take = device.copies(vec![Copy { bytes: from.size(), from, offset: 0, to }])?;
        let plan = Plan::compile(device, &graph, &store, Memory::Shared).await?;
        let size = Size::new(width, height);
        Ok(Self { device: device.clone(), store, take, plan, size, stride, at: Cursor::default() })
    }

    /// The picture as a new texture on the run's device: `Rgba8Unorm` with sRGB-encoded values (it can be viewed as
    /// `Rgba8UnormSrgb`), for sampling and copying. Submits the work itself, in slices where it would take a GPU long,
    /// and does not wait for it. Needs a GPU. Fails while a picture is half encoded.
    pub fn texture(&self) -> Result<wgpu::Texture> {
        self.check_whole()?;
        let gpu = self.device.gpu("a texture")?;
        let texture = gpu.texture(self.size)?;
        self.device.run(&self.programs())?;
        let mut encoder = gpu.encoder();
        gpu.encode_picture(self.store.buffer(PIXELS)?, self.stride, &texture, &mut encoder)?;
        gpu.submit(encoder);
        Ok(texture)
    }

    /// Encodes the next part of decoding the picture, of about `budget` on the device; the texture once it is whole.
    /// The first part takes the latents as they are then, so steps may go on meanwhile. The caller submits the encoder
    /// before asking for the next part. See [`Step::encode_slice`](super::Step::encode_slice) and [`Viewer::texture`].
    pub fn encode_slice(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        budget: Duration,
    ) -> Result<Option<wgpu::Texture>> {
        let gpu = self.device.gpu("a texture")?;
        let mut at = std::mem::take(&mut self.at);
        if !gpu.encode_slice(&self.programs(), &mut at, budget, encoder)? {
            self.at = at;
            return Ok(None);
        }
        let texture = gpu.texture(self.size)?;
        gpu.encode_picture(self.store.buffer(PIXELS)?, self.stride, &texture, encoder)?;
        Ok(Some(texture))
    }

    /// The picture as RGBA bytes, for hosts that cannot show a texture. Fails while a picture is half encoded.
    pub async fn rgba(&self) -> Result<Vec<u8>> {
        self.check_whole()?;
        self.device.run_to_end(&self.programs()).await?;
        let Size { width, height } = self.size;
        let bytes = self.device.read(self.store.buffer(PIXELS)?, 4 * (self.stride * height) as u64).await?;
        Ok(bytes.chunks_exact(4 * self.stride).flat_map(|row| &row[..4 * width]).copied().collect())
    }

    /// Fails where a part of a picture was encoded: its values in flight are still needed.
    fn check_whole(&self) -> Result<()> {
        match self.at.is_at_start() {
            true => Ok(()),
            false => Err(Error::Steps("only a part of the picture was encoded".into())),
        }
    }

    fn programs(&self) -> [&dyn Program; 2] {
        [&*self.take, self.plan.program()]
    }
}
