//! Whole pipelines against diffusers: every golden folder, stage by stage, and twins that must fail.
//!
//! `FOVEATE_GOLDENS=FOLDER cargo test --test pipelines` holds other folders of the same format to the same tolerances
//! (see `training/goldens/unseen.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Tensors, golden, gpu, json, max_error};
use foveate::pipelines::{Embeds, Ids, LoadOptions, Pipeline, Request};
use foveate::tensor::{Tensor, relative_l2};
use foveate::weights::Source;
use pollster::block_on;

/// Noise prediction per step and latents, relative L2: a third of what the project promises (1e-4), because on these small
/// models the smallest of typical mistakes (the other GELU) moves them by little more than the promise.
const STEP_TOLERANCE: f64 = 3e-5;
/// Final image, maximum absolute error: the project's promise.
const IMAGE_TOLERANCE: f32 = 2e-3;

/// What comes out of a run.
struct Outcome {
    noise_pred: Vec<Tensor>,
    latents: Vec<Tensor>,
    image: Tensor,
}

/// What to take from `inputs.safetensors` rather than from seed and prompt.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    /// What the golden's request cannot do without.
    Needed,
    /// Latents and token ids.
    Ids,
    /// Latents and embeddings.
    Embeds,
}

fn request(folder: &Path, given: Given) -> Request {
    let json = json(&folder.join("request.json"));
    let inputs = Tensors::read(&folder.join("inputs.safetensors"));
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let needed: Vec<&str> = json["given"].as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
    let has_text = inputs.0.contains_key("prompt_embeds");
    let guided = json["guidance"].as_f64().unwrap() > 1.0;
    let embeds = has_text && (given == Given::Embeds || needed.contains(&"prompt_embeds"));
    let ids = has_text && !embeds && given == Given::Ids;
    // Latents that are given are not drawn, so noise drawn later would come from another place in the generator.
    let draws = Tensors::read(&folder.join("expected.safetensors")).0.keys().any(|k| k.starts_with("step_noise."));
    let latents = needed.contains(&"latents") || (given != Given::Needed && !draws);
    let mask = |name: &str| inputs.get(name).u32().to_vec();
    Request {
        prompt: text("prompt").filter(|_| !embeds && !ids).unwrap_or_default(),
        negative: text("negative"),
        class: json["class"].as_u64().map(|class| class as u32),
        steps: json["steps"].as_u64().map(|steps| steps as usize),
        guidance: json["guidance"].as_f64().map(|g| g as f32),
        seed: json["seed"].as_u64().unwrap(),
        size: Some([0, 1].map(|i| json["size"][i].as_u64().unwrap() as usize)),
        max_length: json["max_sequence_length"].as_u64().map(|length| length as usize),
        init_latents: latents.then(|| inputs.get("latents").clone()),
        prompt_ids: ids.then(|| Ids {
            ids: mask("input_ids"),
            mask: mask("attention_mask"),
            negative: guided.then(|| (mask("negative_input_ids"), mask("negative_attention_mask"))),
        }),
        prompt_embeds: embeds.then(|| Embeds {
            embeds: inputs.get("prompt_embeds").clone(),
            mask: mask("prompt_attention_mask"),
            negative: guided
                .then(|| (inputs.get("negative_prompt_embeds").clone(), mask("negative_prompt_attention_mask"))),
        }),
        ..Default::default()
    }
}

fn run(source: Source, request: &Request) -> Outcome {
    block_on(async {
        let gpu = gpu();
        let pipeline = Pipeline::load(gpu, source, LoadOptions::default(), |_| {}).await.unwrap();
        let mut run = pipeline.prepare(request).await.unwrap();
        let (mut noise_pred, mut latents) = (Vec::new(), Vec::new());
        while let Some(step) = run.next_step() {
            let mut encoder = gpu.encoder();
            step.encode(&mut encoder).unwrap();
            gpu.submit(encoder);
            noise_pred.push(run.read("guided").await.unwrap());
            latents.push(run.read("latents").await.unwrap());
        }
        let image = run.finish().await.unwrap().planes(0).unwrap();
        Outcome { noise_pred, latents, image }
    })
}

/// The largest deviation of each stage: noise predictions, latents (both relative L2), image (absolute).
fn deviations(outcome: &Outcome, expected: &Tensors) -> (f64, f64, f32) {
    let worst = |tensors: &[Tensor], name: &str| {
        let each = tensors.iter().enumerate();
        each.map(|(i, t)| relative_l2(t.f32(), expected.get(&format!("{name}.{i}")).f32())).fold(0.0, f64::max)
    };
    let image = max_error(outcome.image.f32(), expected.get("image").f32());
    (worst(&outcome.noise_pred, "noise_pred"), worst(&outcome.latents, "latents"), image)
}

/// What is wrong with a folder's run.
fn check(folder: &Path, given: Given) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut outcome = run(Source::Folder(folder.join("model")), &request(folder, given));
    let steps = expected.0.keys().filter(|k| k.starts_with("latents.")).count();
    assert_eq!(outcome.latents.len(), steps, "{name}: steps");
    let (noise, latents, image) = deviations(&outcome, &expected);
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}");

    // The twin that must fail: the steps in another order.
    if steps > 1 {
        outcome.noise_pred.swap(0, 1);
        outcome.latents.swap(0, 1);
        let (noise, latents, _) = deviations(&outcome, &expected);
        assert!(noise > STEP_TOLERANCE && latents > STEP_TOLERANCE, "{name}: swapped steps pass");
    }
    let mut wrong = Vec::new();
    for (what, off, tolerance) in [
        ("noise prediction", noise, STEP_TOLERANCE),
        ("latents", latents, STEP_TOLERANCE),
        ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
    ] {
        if off > tolerance {
            wrong.push(format!("{name}: {what} off by {off:.2e}, allowed {tolerance:.0e}"));
        }
    }
    wrong
}

fn check_all(given: Given) {
    let wrong: Vec<_> = folders().iter().flat_map(|folder| check(folder, given)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn folders() -> Vec<PathBuf> {
    let root = std::env::var_os("FOVEATE_GOLDENS").map_or_else(|| golden(""), PathBuf::from);
    let entries = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.join("request.json").exists()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no goldens in {}", root.display());
    folders
}

/// From seed, class and prompt alone, as far as the golden's request goes.
#[test]
fn from_the_request() {
    check_all(Given::Needed);
}

/// With latents and token ids given.
#[test]
fn from_ids() {
    check_all(Given::Ids);
}

/// With latents and embeddings given: the transformer, scheduler and decoder alone.
#[test]
fn from_embeds() {
    check_all(Given::Embeds);
}

/// The twins that must fail: one weight of each component moved.
#[test]
fn a_moved_weight_shows() {
    for (name, component, file) in [
        ("dit_ddim", "transformer", "diffusion_pytorch_model.safetensors"),
        ("pixart_sigma", "transformer", "diffusion_pytorch_model.safetensors"),
        ("pixart_sigma", "text_encoder", "model.safetensors"),
        ("pixart_sigma", "vae", "diffusion_pytorch_model.safetensors"),
    ] {
        let folder = golden(name);
        let mut files = read_folder(&folder.join("model"));
        let weights = files.get_mut(&format!("{component}/{file}")).unwrap();
        move_a_weight(weights, component);
        let moved = run(Source::Memory(Arc::new(files)), &request(&folder, Given::Needed));
        let expected = Tensors::read(&folder.join("expected.safetensors"));
        let (noise, _, image) = deviations(&moved, &expected);
        match component {
            "vae" => assert!(image > IMAGE_TOLERANCE, "{name}: a moved weight of the VAE passes ({image:.1e})"),
            _ => assert!(noise > STEP_TOLERANCE, "{name}: a moved weight of {component} passes ({noise:.1e})"),
        }
    }
}

/// Negates the first row of a matrix that every picture goes through.
fn move_a_weight(file: &mut [u8], component: &str) {
    let wanted = match component {
        "transformer" => "transformer_blocks.0.ff.net.0.proj.weight",
        "text_encoder" => "encoder.block.0.layer.0.SelfAttention.o.weight",
        _ => "decoder.conv_in.weight",
    };
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let tensor = &header[wanted];
    let width = if tensor["dtype"] == "F32" { 4 } else { 2 };
    let shape: Vec<usize> = tensor["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
    let row: usize = shape[1..].iter().product();
    let start = 8 + length + tensor["data_offsets"][0].as_u64().unwrap() as usize;
    for weight in file[start..start + row * width].chunks_exact_mut(width) {
        weight[width - 1] ^= 0x80;
    }
}

fn read_folder(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}
