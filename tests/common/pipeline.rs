//! Runs a golden pipeline folder as its `request.json` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use foveate::low_level::tensor::{Tensor, relative_l2};
use foveate::low_level::weights::Source;
use foveate::{Compression, Device, Embeds, Ids, LoadOptions, Pipeline, Request, Run, Size};
use foveate::{LayerTrace, Traced};
use pollster::block_on;

use super::{Tensors, device, golden, json, max_error};

/// Noise prediction and latents, relative L2: a third of what the project promises (1e-4).
pub const STEP_TOLERANCE: f64 = 3e-5;
/// Final image, maximum absolute error.
pub const IMAGE_TOLERANCE: f32 = 2e-3;
/// Router scores, maximum absolute error.
pub const SCORE_TOLERANCE: f32 = 2e-5;

/// What comes out of a run.
pub struct Outcome {
    pub noise_pred: Vec<Tensor>,
    pub latents: Vec<Tensor>,
    pub image: Tensor,
    /// Of each step, the layers whose policy routed or merged.
    pub trace: Vec<Vec<LayerTrace>>,
}

/// What to take from `inputs.safetensors` rather than from seed and prompt.
#[derive(Clone, Copy, PartialEq)]
pub enum Given {
    /// What the golden's request cannot do without.
    Needed,
    /// Latents and token ids.
    Ids,
    /// Latents and embeddings.
    Embeds,
}

pub fn request(folder: &Path, given: Given) -> Request {
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
        strength: json["strength"].as_f64(),
        image: inputs.0.get("picture").cloned(),
        mask: inputs.0.get("mask").cloned(),
        size: Some(Size::from([0, 1].map(|i| json["size"][i].as_u64().unwrap() as usize))),
        count: json["count"].as_u64().map(|count| count as usize),
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
        compression: Compression {
            policy: json["compress"].as_str().map(str::to_owned),
            ratio: json["ratio"].as_f64(),
            set: set(&json["set"]),
            masked: json["masked"].as_str().map(|masked| masked.parse().unwrap()),
            cache: json["step_cache"].as_str().map(|cache| cache.parse().unwrap()),
        },
        traced: true,
        ..Default::default()
    }
}

/// A policy's parameters, as `--set` would give them.
fn set(json: &serde_json::Value) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    json.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The pipeline of a folder, on the adapter under test.
pub fn load(source: Source) -> Pipeline {
    block_on(Pipeline::load(device(), source, LoadOptions::default(), |_| {})).unwrap()
}

/// Takes so many steps.
pub fn take(run: &mut Run, steps: usize) {
    for _ in 0..steps {
        run.next_step().unwrap().run().unwrap();
    }
}

impl Outcome {
    /// The layers of a step that merged, each with its destinations.
    pub fn merged(&self, step: usize) -> impl Iterator<Item = (usize, &[u32])> {
        self.trace[step].iter().filter_map(|LayerTrace { layer, tokens }| match tokens {
            Traced::Merged { destination } => Some((*layer, destination.u32())),
            Traced::Kept { .. } => None,
        })
    }

    /// The layers of a step that routed, each with its scores and kept tokens.
    pub fn routed(&self, step: usize) -> impl Iterator<Item = (usize, &Tensor, &Tensor)> {
        self.trace[step].iter().filter_map(|LayerTrace { layer, tokens }| match tokens {
            Traced::Kept { kept, scores } => Some((*layer, scores, kept)),
            Traced::Merged { .. } => None,
        })
    }
}

pub fn run(source: Source, request: &Request) -> Outcome {
    run_on(device(), source, request)
}

pub fn run_on(device: &Device, source: Source, request: &Request) -> Outcome {
    block_on(async {
        let pipeline = Pipeline::load(device, source, LoadOptions::default(), |_| {}).await.unwrap();
        let mut run = pipeline.prepare(request).await.unwrap();
        let (mut noise_pred, mut latents, mut trace) = (Vec::new(), Vec::new(), Vec::new());
        while run.taken() < run.steps() {
            take(&mut run, 1);
            noise_pred.push(run.read("guided").await.unwrap());
            latents.push(run.read("latents").await.unwrap());
            trace.push(run.trace().await.unwrap());
        }
        let image = run.finish().await.unwrap().planes(0).unwrap();
        Outcome { noise_pred, latents, image, trace }
    })
}

/// The largest deviation of each stage: noise predictions, latents (both relative L2), image (absolute).
pub fn deviations(outcome: &Outcome, expected: &Tensors) -> (f64, f64, f32) {
    let worst = |tensors: &[Tensor], name: &str| {
        let each = tensors.iter().enumerate();
        each.map(|(i, t)| relative_l2(t.f32(), expected.get(&format!("{name}.{i}")).f32())).fold(0.0, f64::max)
    };
    let image = max_error(outcome.image.f32(), expected.get("image").f32());
    (worst(&outcome.noise_pred, "noise_pred"), worst(&outcome.latents, "latents"), image)
}

/// What is further off than it may be, a line each: what, how far, and how far it may.
pub fn too_far<'a>(name: &str, found: impl IntoIterator<Item = (&'a str, f64, f64)>) -> Vec<String> {
    let beyond = found.into_iter().filter(|(_, off, tolerance)| off > tolerance);
    beyond.map(|(what, off, most)| format!("{name}: {what} off by {off:.2e}, allowed {most:.0e}")).collect()
}

/// (kept sets that differ, largest error of a score) over all steps and layers. All that the golden routed was traced.
pub fn routing(outcome: &Outcome, expected: &Tensors) -> (usize, f32) {
    let (mut wrong, mut worst, mut layers) = (0, 0.0f32, 0);
    for step in 0..outcome.trace.len() {
        for (layer, scores, kept) in outcome.routed(step) {
            let expect = |what: &str| expected.get(&format!("router.{what}.{step}.{layer}"));
            wrong += usize::from(kept.f32() != expect("kept").f32());
            worst = worst.max(max_error(scores.f32(), expect("scores").f32()));
            layers += 1;
        }
    }
    let all = expected.0.keys().filter(|name| name.starts_with("router.kept.")).count();
    assert!(layers == all, "{layers} layers were traced, the golden has {all}");
    (wrong, worst)
}

/// Layers and steps whose tokens went elsewhere than the golden's, and how many were traced. Where rounding leaves
/// nothing to merge, the golden's tokens stay by themselves, and nothing is traced.
pub fn elsewhere(outcome: &Outcome, expected: &Tensors) -> (usize, usize) {
    let mut traced: BTreeMap<String, &[u32]> = BTreeMap::new();
    for step in 0..outcome.trace.len() {
        traced.extend(outcome.merged(step).map(|(layer, of)| (format!("merge.destination.{step}.{layer}"), of)));
    }
    let all = expected.0.iter().filter(|(name, _)| name.starts_with("merge.destination."));
    let wrong = all.filter(|(name, golden)| match traced.get(name.as_str()) {
        Some(found) => *found != golden.u32(),
        None => !golden.u32().chunks(golden.shape[1]).all(|tokens| tokens.iter().copied().eq(0..tokens.len() as u32)),
    });
    let unknown = traced.keys().filter(|name| !expected.0.contains_key(*name));
    (wrong.count() + unknown.count(), traced.len())
}

/// The golden folders in `tests/goldens/{below}`, or in the folder that the environment's `variable` names.
pub fn folders(variable: &str, below: &str) -> Vec<PathBuf> {
    let root = std::env::var_os(variable).map_or_else(|| golden(below), PathBuf::from);
    let entries = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.join("request.json").exists()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no goldens in {}", root.display());
    folders
}

/// All files of a folder, for a source in memory.
pub fn read_folder(root: &Path) -> BTreeMap<String, Vec<u8>> {
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
