//! The autoencoder against diffusers: both ways, whole and in tiles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::{Tensors, close, device, golden, json, max_error};
use foveate::low_level::device::{Memory, Plan, Store};
use foveate::low_level::graph::{Element, Graph};
use foveate::low_level::loading::{Fields, Loader};
use foveate::low_level::tensor::relative_l2;
use foveate::low_level::weights::{Checkpoint, Source};
use foveate::models::Decoder;
use foveate::models::autoencoder_kl::{AutoencoderKl, Config, EncoderKl};
use foveate::{Area, Tensor};
use pollster::block_on;

/// The autoencoder in `folder/vae` with all its weights.
fn load(folder: &Path) -> (AutoencoderKl, EncoderKl, Store) {
    block_on(async {
        let source = Source::Folder(folder.to_owned());
        let config = Config::read(Fields::read(&source, "vae/config.json").await.unwrap()).unwrap();
        let checkpoint = Checkpoint::open(&source, "vae", "diffusion_pytorch_model").await.unwrap();
        let mut loader = Loader::new("vae", checkpoint, None);
        let model = AutoencoderKl::load(config.clone(), &mut loader.root()).unwrap();
        let encoder = EncoderKl::load(config, &mut loader.root()).unwrap();
        loader.finish().unwrap();
        let mut store = Store::new();
        loader.allocate(device(), &mut store).await.unwrap();
        loader.upload(device(), &store, |_, _| {}).await.unwrap();
        (model, encoder, store)
    })
}

fn map(tensor: &Tensor, change: impl Fn(f32) -> f32) -> Tensor {
    Tensor::new(&tensor.shape, tensor.f32().iter().map(|&v| change(v)).collect()).unwrap()
}

/// diffusers' picture in −1…1 as ours in 0…1.
fn picture(tensor: &Tensor) -> Tensor {
    map(tensor, |v| (v / 2.0 + 0.5).clamp(0.0, 1.0))
}

/// diffusers' latents as diffusion would leave them.
fn scaled(model: &AutoencoderKl, latents: &Tensor) -> Tensor {
    map(latents, |v| v * model.config.scaling_factor)
}

fn agrees(folder: &Path, expected: &Path) {
    let (model, encoder, store) = load(folder);
    let inputs = Tensors::read(&expected.join("inputs.safetensors"));
    let expected = Tensors::read(&expected.join("expected.safetensors"));
    let name = folder.display().to_string();

    let latents = scaled(&model, inputs.get("latents"));
    let decoded = block_on(model.decode_latents(device(), &store, &latents)).unwrap();
    let sample = picture(expected.get("sample"));
    assert_eq!(decoded.shape, sample.shape, "{name}");
    close(&name, decoded.f32(), sample.f32(), 1e-5);
    assert!(max_error(decoded.f32(), sample.f32()) < 1e-4, "{name}");

    let posterior = block_on(encoder.encode_picture(device(), &store, &picture(inputs.get("picture")))).unwrap();
    assert_eq!(posterior.mean.shape, expected.get("mean").shape, "{name}");
    close(&name, posterior.mean.f32(), expected.get("mean").f32(), 1e-5);
    close(&name, posterior.logvar.f32(), expected.get("logvar").f32(), 1e-5);
}

#[test]
fn equals_diffusers_both_ways() {
    let cases = json(&golden("vae").join("cases.json"));
    for case in cases.as_array().unwrap() {
        let folder = golden("vae").join(case["name"].as_str().unwrap());
        agrees(&folder, &folder);
    }
}

/// Checkpoints from before diffusers 0.15.
#[test]
fn reads_the_old_names_of_attention() {
    let original = golden("vae/two_levels");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("vae")).unwrap();
    std::fs::copy(original.join("vae/config.json"), folder.path().join("vae/config.json")).unwrap();
    let file = "vae/diffusion_pytorch_model.safetensors";
    let bytes = std::fs::read(original.join(file)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let old = |name: String| {
        let new = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
        new.iter().fold(name, |name, (new, old)| name.replace(new, old))
    };
    let renamed = tensors.iter().map(|(name, view)| (old(name.to_owned()), view));
    safetensors::serialize_to_file(renamed, None, &folder.path().join(file)).unwrap();
    agrees(folder.path(), &original);
}

#[test]
fn tiles_equal_those_of_diffusers() {
    let (model, encoder, store) = load(&golden("vae/two_levels"));
    let tiled = Tensors::read(&golden("vae/two_levels/tiled.safetensors"));
    let latents = scaled(&model, tiled.get("latents"));
    let decoded = block_on(model.decode_in_tiles(device(), &store, &latents, 8)).unwrap();
    close("decoded", decoded.f32(), picture(tiled.get("sample")).f32(), 1e-5);
    let encoded = block_on(encoder.encode_in_tiles(device(), &store, &picture(tiled.get("picture")), 8)).unwrap();
    close("encoded", encoded.mean.f32(), tiled.get("mean").f32(), 1e-5);

    // Whole, it is another picture: the tiles were really cut.
    let whole = block_on(model.decode_latents(device(), &store, &latents)).unwrap();
    assert!(max_error(whole.f32(), decoded.f32()) > 1e-3);
}

/// By the bundled autoencoder, of a picture whose parts differ: each is much nearer to the whole than a picture that is
/// decoded from its latents alone, which has other statistics.
#[test]
fn areas_resemble_the_whole() {
    let (model, encoder, store) = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/scenes"));
    let sky = |x: usize, y: usize| [0.2 + 0.002 * y as f32, 0.5, 0.9 - 0.002 * x as f32];
    let ball = |x: usize, y: usize| [0.9, 0.1 + 0.003 * x as f32, 0.2 + 0.3 * ((x + y) as f32 / 5.0).sin().abs()];
    let colour = |x: usize, y: usize| match (x.abs_diff(50).pow(2) + y.abs_diff(70).pow(2)) < 500 {
        true => ball(x, y),
        false if y > 90 => [0.1, 0.6, 0.1 + 0.2 * ((x / 3 + y / 2) % 2) as f32],
        false => sky(x, y),
    };
    let planes = (0..3).flat_map(|c| (0..128 * 128).map(move |at| colour(at % 128, at / 128)[c])).collect();
    let pixels = Tensor::new(&[1, 3, 128, 128], planes).unwrap();
    let latents = block_on(encoder.encode_picture(device(), &store, &pixels)).unwrap().mean;
    let latents = scaled(&model, &latents);
    let whole = block_on(model.decode_latents(device(), &store, &latents)).unwrap();
    let areas = [Area { rows: 12..23, columns: 7..18 }, Area { rows: 0..8, columns: 20..32 }];
    let parts = block_on(model.decode_areas(device(), &store, &latents, &areas)).unwrap();
    let cut = |tensor: &Tensor, side: usize, Area { rows, columns }: &Area| {
        let lines = tensor.f32().chunks_exact(side * side).flat_map(|plane| {
            rows.clone().flat_map(|row| plane[row * side..][columns.clone()].to_vec()).collect::<Vec<_>>()
        });
        Tensor::new(&[1, tensor.shape[1], rows.len(), columns.len()], lines.collect()).unwrap()
    };
    for (area, part) in areas.iter().zip(&parts) {
        let expected = cut(&whole, 128, &area.times(4));
        let alone = block_on(model.decode_latents(device(), &store, &cut(&latents, 32, area))).unwrap();
        let [off, without] = [part, &alone].map(|found| relative_l2(found.f32(), expected.f32()));
        assert!(off > 1e-5 && off < 0.6 * without, "{area:?}: {off:.4}, alone {without:.4}");
    }
}

#[test]
fn in_a_graph_of_ones_own_it_decodes_the_same() {
    let (model, _, store) = load(&golden("vae/two_levels"));
    let latents = scaled(&model, Tensors::read(&golden("vae/two_levels/inputs.safetensors")).get("latents"));
    let found = block_on(async {
        let (mut graph, mut store) = (Graph::new(), store.clone());
        let input = graph.stored("latents", &latents.shape, Element::F32);
        store.insert(device(), "latents", &latents).await.unwrap();
        let pictures = model.decode(&mut graph, input).unwrap();
        graph.store(pictures, "pictures");
        store.allocate_missing(device(), &graph).await.unwrap();
        let plan = Plan::compile(device(), &graph, &store, Memory::Shared).await.unwrap();
        plan.run(device()).unwrap();
        store.read(device(), "pictures").await.unwrap()
    });
    let expected = block_on(model.decode_latents(device(), &store, &latents)).unwrap();
    assert!(max_error(found.f32(), expected.f32()) < 1e-6);
}

#[test]
fn refuses_what_it_cannot_do() {
    let (model, encoder, store) = load(&golden("vae/two_levels"));
    let picture = Tensor::new(&[1, 3, 6, 5], vec![0.5; 90]).unwrap();
    let error = block_on(encoder.encode_picture(device(), &store, &picture)).unwrap_err().to_string();
    assert_eq!(error, "a picture of 5×6 pixels does not divide by 2");
    let latents = Tensor::new(&[1, 4, 2, 2], vec![0.5; 16]).unwrap();
    let error = block_on(model.decode_in_tiles(device(), &store, &latents, 6)).unwrap_err().to_string();
    assert_eq!(error, "tiles of 6 latent pixels cannot overlap by a quarter");
    let flat = Tensor::new(&[4, 2, 2], vec![0.5; 16]).unwrap();
    let error = block_on(model.decode_latents(device(), &store, &flat)).unwrap_err().to_string();
    assert!(error.contains("[4, 2, 2] should be [batch, channels, height, width]"), "{error}");
}
