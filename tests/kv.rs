//! KV token compression against an independent PyTorch program (`training/goldens/kv.py`): as PixArt-Σ trains it, and
//! as a policy.
//!
//! `FOVEATE_KV_GOLDENS=FOLDER cargo test --test kv` holds other folders of the same format to the same tolerances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::pipeline::{
    Given, IMAGE_TOLERANCE, STEP_TOLERANCE, deviations, folders, load, read_folder, request, run, too_far,
};
use common::{Tensors, golden, json};
use foveate::Model;
use foveate::compress::{AnyPolicy, Dense, Kv, Policy, Sampling, StepAt};
use foveate::low_level::graph::{Element, Graph};
use foveate::low_level::pipeline::{StepSize, TransformerSteps};
use foveate::low_level::weights::{Format, Source};
use foveate::{LoadOptions, Request, Result, Size};
use pollster::block_on;

const CONFIG: &str = "transformer/config.json";
const WEIGHTS: &str = "transformer/diffusion_pytorch_model.safetensors";
type Files = BTreeMap<String, Vec<u8>>;

/// The goldens whose checkpoint says that it is compressed; of the others the request says so.
fn trained() -> Vec<PathBuf> {
    let folders = folders("FOVEATE_KV_GOLDENS", "kv");
    folders.into_iter().filter(|folder| json(&folder.join("request.json"))["compress"].is_null()).collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

/// The golden's model with something changed in the transformer's config.
fn edited(folder: &Path, edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> Files {
    let mut files = read_folder(&folder.join("model"));
    let config = files.get_mut(CONFIG).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(config).unwrap();
    edit(json.as_object_mut().unwrap());
    *config = serde_json::to_vec(&json).unwrap();
    files
}

/// The bytes of a tensor in a safetensors file.
fn tensor<'a>(file: &'a mut [u8], name: &str) -> &'a mut [u8] {
    let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..start]).unwrap();
    let offsets = [0, 1].map(|end| start + header[name]["data_offsets"][end].as_u64().unwrap() as usize);
    &mut file[offsets[0]..offsets[1]]
}

fn transformer(source: Source) -> Result<TransformerSteps> {
    block_on(async { TransformerSteps::open(&Model::open(source, LoadOptions::default()).await?).await })
}

fn step(transformer: &TransformerSteps, size: StepSize, policy: impl Policy) -> Result<Graph> {
    let at = StepAt { index: 0, of: 1, timestep: 0.0, tokens: transformer.grid(size.latents)?.tokens() };
    transformer.step(size, &block_on(transformer.given(size))?, &AnyPolicy::new(policy).step(at))
}

#[test]
fn compressed_pipelines_agree_with_torch() {
    let mut wrong = Vec::new();
    for folder in folders("FOVEATE_KV_GOLDENS", "kv") {
        let (name, expected) = (name(&folder), Tensors::read(&folder.join("expected.safetensors")));
        let request = request(&folder, Given::Embeds);
        let outcome = run(Source::Folder(folder.join("model")), &request);
        let (noise, latents, image) = deviations(&outcome, &expected);
        println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}");
        wrong.extend(too_far(
            &name,
            [
                ("noise prediction", noise, STEP_TOLERANCE),
                ("latents", latents, STEP_TOLERANCE),
                ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
            ],
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The twins that must fail: a convolution with one layer's taps in reverse, another sampling.
#[test]
fn other_compressions_show() {
    for folder in trained() {
        let (name, told) = (name(&folder), json(&folder.join("request.json")));
        let config = json(&folder.join("model").join(CONFIG))["kv_compress_config"].clone();
        let mut files = edited(&folder, |config| {
            let sampling = &mut config["kv_compress_config"]["sampling"];
            *sampling = match sampling.as_str().unwrap() {
                "conv" => "conv",
                "average" => "uniform",
                _ => "average",
            }
            .into();
        });
        if config["sampling"] == "conv" {
            let taps = config["scale_factor"].as_u64().unwrap().pow(2) as usize;
            let bytes = if told["dtype"] == "f32" { 4 } else { 2 };
            let layer = config["kv_compress_layer"].as_array().unwrap().last().unwrap();
            let weight = format!("transformer_blocks.{layer}.attn1.sr.weight");
            for channel in tensor(files.get_mut(WEIGHTS).unwrap(), &weight).chunks_exact_mut(bytes * taps) {
                let reversed: Vec<u8> = channel.rchunks_exact(bytes).flatten().copied().collect();
                channel.copy_from_slice(&reversed);
            }
        }
        let outcome = run(Source::Memory(Arc::new(files)), &request(&folder, Given::Embeds));
        let noise = deviations(&outcome, &Tensors::read(&folder.join("expected.safetensors"))).0;
        assert!(noise > 10.0 * STEP_TOLERANCE, "{name}: another compression passes ({noise:.1e})");
    }
}

/// "ave" is what the authors' code makes of it, "uniform".
#[test]
fn ave_is_uniform() {
    let folder = golden("kv/ave");
    let uniform = edited(&folder, |config| config["kv_compress_config"]["sampling"] = "uniform".into());
    let [ave, uniform] = [Source::Folder(folder.join("model")), Source::Memory(Arc::new(uniform))]
        .map(|source| run(source, &request(&folder, Given::Embeds)));
    assert_eq!(ave.image.f32(), uniform.image.f32());
}

/// What a checkpoint asks for without weights is what the policy does: op for op the same graph.
#[test]
fn the_policy_does_what_the_config_says() {
    for (name, sampling, stride, layers) in [
        ("average", Sampling::Average, 2, 1..=2),
        ("uniform", Sampling::Uniform, 2, 0..=1),
        ("ave", Sampling::Uniform, 4, 1..=1),
    ] {
        let folder = golden(&format!("kv/{name}"));
        let plain = edited(&folder, |config| drop(config.remove("kv_compress_config")));
        let plain = transformer(Source::Memory(Arc::new(plain))).unwrap();
        let trained = transformer(Source::Folder(folder.join("model"))).unwrap();
        let size = StepSize { batch: 2, latents: Size::new(12, 14), text: 5 };
        let first = *layers.start();
        let policy = Kv { stride, sampling, layers: Some(layers) };
        let by_config = step(&trained, size, Dense).unwrap();
        let by_policy = step(&plain, size, policy.clone()).unwrap();
        assert_eq!(by_config.to_string(), by_policy.to_string(), "{name}");
        let error = step(&trained, size, policy).unwrap_err();
        let clash = "the model pools keys over the token grid here, but the policy would pool them as well";
        let reason = format!("layer {first}: {clash}");
        assert!(error.is_usage() && error.to_string() == reason, "{error}");
    }
}

/// A DiT, which is never trained so, under the policy: twins that must fail.
#[test]
fn other_parameters_of_the_policy_show() {
    let folder = golden("kv/dit_policy");
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let asked = request(&folder, Given::Needed);
    for (key, value) in [("sampling", "uniform"), ("stride", "2"), ("layers", "1")] {
        assert!(asked.compression.set.contains_key(key));
        let compression = asked.compression.clone().with(key, value);
        let outcome = run(Source::Folder(folder.join("model")), &Request { compression, ..asked.clone() });
        let noise = deviations(&outcome, &expected).0;
        assert!(noise > 10.0 * STEP_TOLERANCE, "{key} = {value} passes ({noise:.1e})");
    }
}

/// Attention of the compressed layers costs as its keys; a convolution adds little.
#[test]
fn work_falls_with_the_keys() {
    let size = StepSize { batch: 2, latents: Size::new(44, 28), text: 5 };
    let (tokens, stride) = (14 * 22, 2);
    let plain = edited(&golden("kv/average"), |config| drop(config.remove("kv_compress_config")));
    let plain = transformer(Source::Memory(Arc::new(plain))).unwrap();
    let attention = |keys: usize| (4 * size.batch * tokens * keys * plain.sizes().width) as u64;
    let dense = step(&plain, size, Dense).unwrap().flops();
    for sampling in [Sampling::Average, Sampling::Uniform] {
        for layers in [0..=0, 1..=2, 0..=2] {
            let pooled = layers.clone().count() as u64;
            let kv = step(&plain, size, Kv { stride, sampling, layers: Some(layers) }).unwrap().flops();
            assert_eq!(dense - kv, pooled * (attention(tokens) - attention(tokens / 4)), "{sampling:?}");
        }
    }

    let trained = transformer(Source::Folder(golden("kv/conv").join("model"))).unwrap();
    let width = trained.sizes().width;
    assert_eq!(width, plain.sizes().width);
    let convolutions = (2 * 2 * 4 * size.batch * (tokens / 4) * width) as u64;
    let kv = step(&trained, size, Dense).unwrap().flops();
    assert_eq!(dense - kv, 2 * (attention(tokens) - attention(tokens / 4) - convolutions));
}

/// The convolution's weights are few and every key hangs on them.
#[test]
fn a_convolution_stays_in_f32() {
    let folder = golden("kv/conv_odd").join("model");
    for dtype in [None, Some(Format::F16), Some(Format::Int8), Some(Format::Int4)] {
        let options = LoadOptions { dtype, ..LoadOptions::default() };
        let opened =
            block_on(async { Model::open(Source::Folder(folder.clone()), options).await?.transformer().await });
        let opened = opened.unwrap();
        let convolutions = opened.loader.weights().filter(|(weight, _)| weight.key.contains("attn1.sr.weight"));
        let elements: Vec<_> = convolutions.map(|(weight, _)| weight.element).collect();
        assert_eq!(elements, [Element::F32; 2], "{dtype:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let (conv, average) = (golden("kv/conv"), golden("kv/average"));
    let refused = |folder: &Path, edit: fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let files = edited(folder, edit);
        transformer(Source::Memory(Arc::new(files))).map_or_else(|error| error.chain().join(": "), |_| String::new())
    };
    for (told, reason) in [
        (
            refused(&average, |c| c["kv_compress_config"]["kv_compress_layer"] = [1, 3].as_slice().into()),
            "kv_compress_layer = 3: the model has layers 0 to 2",
        ),
        (refused(&average, |c| c["kv_compress_config"]["scale_factor"] = 0.into()), "scale_factor = 0"),
        (
            refused(&average, |c| c["kv_compress_config"]["sampling"] = "uniform_every".into()),
            "config.json: kv_compress_config: sampling = \"uniform_every\"",
        ),
        // A config without tensors, tensors without a config.
        (
            refused(&average, |c| c["kv_compress_config"]["sampling"] = "conv".into()),
            "tensor transformer_blocks.1.attn1.sr.weight",
        ),
        (refused(&conv, |c| drop(c.remove("kv_compress_config"))), "attn1."),
        (
            refused(&conv, |c| c["kv_compress_config"]["scale_factor"] = 3.into()),
            "tensor transformer_blocks.1.attn1.sr.weight",
        ),
        (
            refused(&golden("kv/dit_policy"), |c| {
                c.insert("kv_compress_config".into(), serde_json::json!({"sampling": "uniform"}));
            }),
            "this engine does not know the field",
        ),
    ] {
        assert!(told.contains(reason), "{reason}: {told:?}");
    }
    for nothing in [serde_json::json!(null), serde_json::json!({}), serde_json::json!({"kv_compress_layer": []})] {
        let files = edited(&average, |config| config["kv_compress_config"] = nothing);
        assert!(transformer(Source::Memory(Arc::new(files))).is_ok());
    }
}

/// Routed tokens lie on no grid.
#[test]
fn routed_layers_with_pooled_keys_are_refused() {
    let routed = golden("routed/pixart_sigma_mlp");
    let files = edited(&routed, |config| {
        let pooled = serde_json::json!({"sampling": "average", "scale_factor": 2, "kv_compress_layer": [1]});
        config.insert("kv_compress_config".into(), pooled);
    });
    let request = Request { traced: false, ..request(&routed, Given::Embeds) };
    let error = load(Source::Memory(Arc::new(files))).start(&request).unwrap_err();
    let told = "layer 1: the model pools keys over the token grid here, but the policy maps the rows of attention";
    assert!(error.is_usage() && error.root().to_string() == told, "{error}");
}
