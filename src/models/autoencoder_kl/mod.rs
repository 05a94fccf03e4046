//! The autoencoder between pictures and latents (diffusers `AutoencoderKL`).

mod blocks;
mod config;
mod decoder;
mod encoder;
mod encoding;
mod images;
mod tiling;

use std::collections::HashMap;

pub use config::Config;
use decoder::Decoder;
pub use encoding::{EncoderKl, Posterior};
use tiling::{Mosaic, Tiles};

use super::Decoder as LatentDecoder;
use crate::area::cut_out;
use crate::device::{Device, Memory, Plan, Store};
use crate::graph::{Caps, Element, Graph, Value, ValueId};
use crate::kernels::{self, Affine};
use crate::loading::Scope;
use crate::shared::Work;
use crate::{Area, Error, Result, Size, Tensor};

const INPUT: &str = "autoencoder.input";
const OUTPUT: &str = "autoencoder.output";

/// Where only areas are decoded, one of so many latent pixels each way is in the sample that has the statistics. The
/// error of a part falls with the number of pixels in the sample, and the cost of the sample is its share of the latents:
/// about ten each way, and more where there are many. See docs/performance.md.
fn sampled(latents: Size) -> usize {
    ((latents.width.min(latents.height) + 5) / 10).clamp(2, 4)
}

/// From −1…1 to 0…1, and no further.
const TO_COLOURS: Affine = Affine { scale: 0.5, shift: 0.5, low: 0.0, high: 1.0 };

/// The weights of the half that decodes; [`EncoderKl`] has the other.
#[derive(Clone, Debug)]
pub struct AutoencoderKl {
    /// Its config.
    pub config: Config,
    decoder: Decoder,
}

impl AutoencoderKl {
    /// Asks for the decoder's tensors.
    pub fn load(config: Config, scope: &mut Scope<'_>) -> Result<Self> {
        Ok(Self { decoder: Decoder::load(&config, scope)?, config })
    }

    /// Tensors that decoding has no use for.
    pub fn unused(name: &str) -> bool {
        name.starts_with("encoder.") || name.starts_with("quant_conv.")
    }

    /// `latents [B, L, h, w]` as diffusion leaves them to pictures in about −1…1, before anything is cut off.
    fn sample(&self, graph: &mut Graph, latents: ValueId) -> Result<ValueId> {
        let latents = self.unscaled(graph, latents)?;
        self.decoder.forward(graph, latents)
    }

    /// Latents as the decoder takes them.
    fn unscaled(&self, graph: &mut Graph, latents: ValueId) -> Result<ValueId> {
        let scale = self.config.scaling_factor.recip();
        kernels::affine(graph, latents, Affine { scale, ..Affine::default() })
    }

    /// Pictures in 0…1 of `areas` of `latents [B, L, h, w]`.
    fn sample_areas(&self, graph: &mut Graph, latents: ValueId, areas: &[Area], every: usize) -> Result<Vec<ValueId>> {
        let latents = self.unscaled(graph, latents)?;
        let parts = self.decoder.areas(graph, latents, areas, every)?;
        parts.into_iter().map(|part| kernels::affine(graph, part, TO_COLOURS)).collect()
    }

    /// Of latents on the host: of every area `[B, 3, h, w]`. Where `device` cannot hold what that takes, the areas are
    /// cut out of the whole, which is decoded in tiles.
    pub async fn decode_areas(
        &self,
        device: &Device,
        store: &Store,
        latents: &Tensor,
        areas: &[Area],
    ) -> Result<Vec<Tensor>> {
        let [_, _, height, width] = extent(latents)?;
        let every = sampled(Size::new(width, height));
        self.decode_areas_by(device, store, latents, areas, every).await
    }

    async fn decode_areas_by(
        &self,
        device: &Device,
        store: &Store,
        latents: &Tensor,
        areas: &[Area],
        every: usize,
    ) -> Result<Vec<Tensor>> {
        let [count, channels, height, width] = extent(latents)?;
        let mut graph = Graph::new();
        let input = graph.stored(INPUT, &[1, channels, height, width], Element::F32);
        let parts = self.sample_areas(&mut graph, input, areas, every)?;
        if graph.check(device.caps()).is_err() {
            return cut_out(&self.decode_latents(device, store, latents).await?, areas, self.config.scale_factor());
        }
        let names: Vec<String> = (0..areas.len()).map(|index| format!("{OUTPUT}.{index}")).collect();
        parts.iter().zip(&names).for_each(|(&part, name)| graph.store(part, name));
        let mut store = store.clone();
        store.allocate_missing(device, &graph).await?;
        let plan = Plan::compile(device, &graph, &store, Memory::Shared).await?;
        let mut found: Vec<(Vec<usize>, Vec<f32>)> = vec![Default::default(); areas.len()];
        for one in latents.f32().chunks((channels * height * width).max(1)) {
            store.write(device, INPUT, bytemuck::cast_slice(one))?;
            plan.run_to_end(device).await?;
            for ((shape, values), name) in found.iter_mut().zip(&names) {
                let part = store.read(device, name).await?;
                values.extend_from_slice(part.f32());
                *shape = part.shape;
                shape[0] = count;
            }
        }
        found.into_iter().map(|(shape, values)| Tensor::new(&shape, values)).collect()
    }

    /// Pictures `[B, 3, H, W]` in 0…1 of `latents [B, L, h, w]`: one after the other, in tiles where `device` cannot
    /// hold one whole.
    pub async fn decode_latents(&self, device: &Device, store: &Store, latents: &Tensor) -> Result<Tensor> {
        let build = |graph: &mut Graph, latents| self.sample(graph, latents);
        let side = largest_tile(device.caps(), latents, 1, &build)?;
        self.decode_in_tiles(device, store, latents, side).await
    }

    /// The same in tiles of `side` latent pixels, a multiple of 4.
    pub async fn decode_in_tiles(
        &self,
        device: &Device,
        store: &Store,
        latents: &Tensor,
        side: usize,
    ) -> Result<Tensor> {
        let build = |graph: &mut Graph, latents| self.sample(graph, latents);
        let tiles = Tiles { side, input: 1, output: self.config.scale_factor() };
        let sampled = in_tiles(device, store, latents, tiles, &build).await?;
        let Affine { scale, shift, low, high } = TO_COLOURS;
        let pixels = sampled.f32().iter().map(|x| (x * scale + shift).clamp(low, high)).collect();
        Tensor::new(&sampled.shape, pixels)
    }
}

impl LatentDecoder for AutoencoderKl {
    fn factor(&self) -> usize {
        self.config.scale_factor()
    }

    fn channels(&self) -> usize {
        self.config.latent_channels
    }

    fn decode(&self, graph: &mut Graph, latents: ValueId) -> Result<ValueId> {
        let pictures = self.sample(graph, latents)?;
        kernels::affine(graph, pictures, TO_COLOURS)
    }

    fn pictures<'a>(&'a self, device: &'a Device, store: &'a Store, latents: &'a Tensor) -> Work<'a, Tensor> {
        Box::pin(self.decode_latents(device, store, latents))
    }

    fn areas<'a>(
        &'a self,
        device: &'a Device,
        store: &'a Store,
        latents: &'a Tensor,
        areas: &'a [Area],
    ) -> Work<'a, Vec<Tensor>> {
        Box::pin(self.decode_areas(device, store, latents, areas))
    }
}

/// Adds encoder or decoder to a graph.
type Build<'a> = &'a (dyn Fn(&mut Graph, ValueId) -> Result<ValueId> + Sync);

fn extent(images: &Tensor) -> Result<[usize; 4]> {
    images.shape.as_slice().try_into().map_err(|_| {
        Error::shape("autoencoder", format!("shape {:?} should be [batch, channels, height, width]", images.shape))
    })
}

/// The largest tile of `images`, in latent pixels, of which every value can be bound and every op recorded. `input` is
/// the number of pixels per latent pixel.
fn largest_tile(caps: &Caps, images: &Tensor, input: usize, build: Build<'_>) -> Result<usize> {
    let [_, channels, height, width] = extent(images)?;
    let whole = height.max(width).div_ceil(input).next_multiple_of(4).max(4);
    let mut needed = 0;
    for side in (4..=whole).rev().step_by(4) {
        let mut graph = Graph::new();
        let shape = [1, channels, height.min(side * input), width.min(side * input)];
        let images = graph.stored(INPUT, &shape, Element::F32);
        build(&mut graph, images)?;
        let in_flight = graph.values().iter().filter(|value| value.element == Element::F32);
        needed = in_flight.map(Value::bytes).max().unwrap_or(0);
        if needed > caps.max_tensor_bytes() {
            continue;
        }
        match graph.nodes().iter().try_for_each(|node| node.op.record(&graph, caps).map(|_| ())) {
            Ok(()) => return Ok(side),
            Err(error) if side == 4 => return Err(error),
            Err(_) => {} // too many keys for this adapter, which a smaller tile has fewer of
        }
    }
    Err(Error::Limit {
        what: "the autoencoder on a tile of 4×4 latents".into(),
        limit: "max_storage_buffer_binding_size",
        needed,
        available: caps.max_tensor_bytes(),
    })
}

/// Runs what `build` makes on each of `images`, tile by tile.
async fn in_tiles(device: &Device, store: &Store, images: &Tensor, tiles: Tiles, build: Build<'_>) -> Result<Tensor> {
    let [count, channels, height, width] = extent(images)?;
    // Tiles at the edges differ in size: one plan for each size.
    let mut plans: HashMap<Vec<usize>, (Plan, Store)> = HashMap::new();
    let (mut shape, mut values) = (vec![0; 4], Vec::new());
    for image in images.f32().chunks((channels * height * width).max(1)) {
        let image = Tensor::new(&[1, channels, height, width], image.to_vec())?;
        let mut mosaic = Mosaic::new(tiles, &image)?;
        while let Some(tile) = mosaic.next() {
            let tile = tile?;
            if !plans.contains_key(&tile.shape) {
                plans.insert(tile.shape.clone(), compile(device, store, &tile.shape, build).await?);
            }
            let (plan, store) = &plans[&tile.shape];
            store.write(device, INPUT, tile.bytes())?;
            plan.run_to_end(device).await?;
            mosaic.put(store.read(device, OUTPUT).await?)?;
        }
        let whole = mosaic.whole()?;
        values.extend_from_slice(whole.f32());
        shape = whole.shape;
    }
    shape[0] = count;
    Tensor::new(&shape, values)
}

/// A plan for images of `shape`, and a store in which it finds [`INPUT`] and leaves [`OUTPUT`].
async fn compile(device: &Device, store: &Store, shape: &[usize], build: Build<'_>) -> Result<(Plan, Store)> {
    let mut graph = Graph::new();
    let input = graph.stored(INPUT, shape, Element::F32);
    let output = build(&mut graph, input)?;
    graph.store(output, OUTPUT);
    let mut store = store.clone();
    store.allocate_missing(device, &graph).await?;
    let plan = Plan::compile(device, &graph, &store, Memory::Shared).await?;
    Ok((plan, store))
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::loading::{Fields, Loader};
    use crate::tensor::relative_l2;
    use crate::testing::{device, gpu};
    use crate::weights::{Checkpoint, Source};

    /// The decoder of a golden.
    fn load(name: &str) -> (AutoencoderKl, Store) {
        block_on(async {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/vae/").to_owned() + name;
            let source = Source::Folder(folder.into());
            let config = Config::read(Fields::read(&source, "vae/config.json").await.unwrap()).unwrap();
            let checkpoint = Checkpoint::open(&source, "vae", "diffusion_pytorch_model").await.unwrap();
            let mut loader = Loader::new("vae", checkpoint, None);
            let model = AutoencoderKl::load(config, &mut loader.root()).unwrap();
            let mut store = Store::new();
            loader.allocate(device(), &mut store).await.unwrap();
            loader.upload(device(), &store, |_, _| {}).await.unwrap();
            (model, store)
        })
    }

    fn waves(shape: &[usize]) -> Tensor {
        Tensor::new(shape, (0..shape.iter().product()).map(|i| (i as f32).sin()).collect()).unwrap()
    }

    #[test]
    fn a_small_adapter_gets_the_largest_tiles_it_can_hold() {
        block_on(async {
            let (model, store) = load("two_levels");
            // The largest value is what the upsampler makes: 8 channels, twice the latents' size each way.
            let latents = waves(&[1, 4, 21, 37]);
            let caps = |max_binding| Caps { max_binding, ..gpu().caps().clone() };
            let side = |caps: &Caps| largest_tile(caps, &latents, 1, &|graph, latents| model.sample(graph, latents));
            assert_eq!(side(&caps(1 << 20)).unwrap(), 40);
            assert_eq!(side(&caps(4 * 8 * 42 * 48)).unwrap(), 24);
            assert_eq!(side(&caps(4 * 8 * 42 * 48 - 1)).unwrap(), 20);
            let error = side(&caps(1 << 10)).unwrap_err().to_string();
            assert!(error.contains("a tile of 4×4 latents needs max_storage_buffer_binding_size"), "{error}");

            let small = gpu().with_caps(caps(4 * 8 * 42 * 48)).into();
            let found = model.decode_latents(&small, &store, &latents).await.unwrap();
            let expected = model.decode_in_tiles(device(), &store, &latents, 24).await.unwrap();
            assert_eq!(found, expected);
            // Tiles have statistics of their own, so they resemble the whole and no more.
            let whole = model.decode_latents(device(), &store, &latents).await.unwrap();
            let deviation = relative_l2(found.f32(), whole.f32());
            assert!((1e-6..0.1).contains(&deviation), "{deviation}");
        });
    }

    /// With all pixels in the sample, only the edges of an area differ from the whole.
    #[test]
    fn areas_by_the_statistics_of_all_are_those_of_the_whole() {
        for name in ["two_levels", "four_levels", "one_level", "no_attention", "newer_config"] {
            let (model, store) = load(name);
            let (channels, factor) = (model.config.latent_channels, model.config.scale_factor());
            let size = Size::new(24, 20);
            let latents = waves(&[2, channels, size.height, size.width]);
            let areas = [Area::whole(size), Area { rows: 0..14, columns: 9..24 }];
            let (whole, parts) = block_on(async {
                let whole = model.decode_latents(device(), &store, &latents).await.unwrap();
                (whole, model.decode_areas_by(device(), &store, &latents, &areas, 1).await.unwrap())
            });
            let expected = cut_out(&whole, &areas, factor).unwrap();
            assert_eq!(parts[1].shape, [2, 3, 14 * factor, 15 * factor]);
            let off = relative_l2(parts[0].f32(), expected[0].f32());
            assert!(off < 1e-5, "{name}: {off:.1e}");
            // Where the picture ends, so does the area; elsewhere a halo of 8 is taken off.
            let inner = [Area { rows: 0..6, columns: 8..15 }];
            let [found, expected] =
                [&parts[1], &expected[1]].map(|part| cut_out(part, &inner, factor).unwrap().remove(0));
            let off = relative_l2(found.f32(), expected.f32());
            assert!(off < 1e-3, "{name}: {off:.1e}");
        }
    }

    #[test]
    fn samples_have_enough_pixels() {
        let every = |width, height| sampled(Size::new(width, height));
        assert_eq!([every(1, 90), every(16, 16), every(32, 48), every(64, 64), every(512, 512)], [2, 2, 3, 4, 4]);
    }

    #[test]
    fn areas_that_a_small_adapter_cannot_hold_are_cut_out_of_tiles() {
        block_on(async {
            let (model, store) = load("two_levels");
            let latents = waves(&[1, 4, 21, 37]);
            let caps = Caps { max_binding: 4 * 8 * 21 * 37 - 1, ..gpu().caps().clone() };
            let areas = [Area { rows: 3..9, columns: 5..11 }];
            let small: Device = gpu().with_caps(caps).into();
            let found = model.decode_areas(&small, &store, &latents, &areas).await.unwrap();
            let whole = model.decode_latents(&small, &store, &latents).await.unwrap();
            assert_eq!(found, cut_out(&whole, &areas, 2).unwrap());
        });
    }
}
