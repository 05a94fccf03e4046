//! Training-free merging against independent PyTorch programs (`training/goldens/merged.py`), and what else it
//! promises.
//!
//! `FOVEATE_MERGED_GOLDENS=FOLDER cargo test --test merging` holds other folders of the same format to the same
//! tolerances (see `training/goldens/merged_unseen.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::pipeline::{
    Given, IMAGE_TOLERANCE, Outcome, STEP_TOLERANCE, deviations, elsewhere, folders, load, request, run, take, too_far,
};
use common::{Tensors, device, golden, json};
use foveate::compress::trace::destination_name;
use foveate::compress::{BlockInput, CARRIED, Policies, StepAt, Trained};
use foveate::low_level::device::{Memory, Plan, Store};
use foveate::low_level::graph::{Element, Graph};
use foveate::low_level::kernels::step_row;
use foveate::low_level::weights::Source;
use foveate::{Compression, Grid, Request, Size, Tensor};
use pollster::block_on;

/// What is wrong with a folder's run.
fn check(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut request = request(folder, Given::Embeds);
    let outcome = run(Source::Folder(folder.join("model")), &request);
    let (noise, latents, image) = deviations(&outcome, &expected);
    let (sets, traced) = elsewhere(&outcome, &expected);
    assert!(traced > 0, "{name}: no layer merged");
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}, sets that differ {sets}");

    // The twin that must fail: the same model without merging.
    request.compression = Compression::policy("dense");
    let dense = deviations(&run(Source::Folder(folder.join("model")), &request), &expected).0;
    assert!(dense > STEP_TOLERANCE, "{name}: a dense run passes ({dense:.1e})");

    too_far(
        &name,
        [
            ("noise prediction", noise, STEP_TOLERANCE),
            ("latents", latents, STEP_TOLERANCE),
            ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
            ("merged sets", sets as f64, 0.0),
        ],
    )
}

#[test]
fn merging_pipelines_agree_with_torch() {
    let folders = folders("FOVEATE_MERGED_GOLDENS", "merged");
    let wrong: Vec<_> = folders.iter().flat_map(|folder| check(folder)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A golden's model, with its policy drawing at random.
fn drawn(folder: &str, seed: u64) -> (Source, Request) {
    let folder = golden(folder);
    let mut request = request(&folder, Given::Embeds);
    request.compression.set.remove("deterministic");
    (Source::Folder(folder.join("model")), Request { seed, ..request })
}

/// The destinations of every layer that merged in a step.
fn destinations(outcome: &Outcome, step: usize) -> Vec<Vec<u32>> {
    outcome.merged(step).map(|(_, destination)| destination.to_vec()).collect()
}

/// The seed decides what is drawn, and nothing else does. The noise is given, so that only the draw can differ.
#[test]
fn the_seed_decides_every_draw() {
    for folder in ["merged/tome_pixart", "merged/sdtm_dit"] {
        let drawn_by = |seed| {
            let (source, mut request) = drawn(folder, seed);
            let inputs = Tensors::read(&golden(folder).join("inputs.safetensors"));
            request.init_latents = Some(inputs.get("latents").clone());
            let outcome = run(source, &request);
            let all: Vec<_> = (0..outcome.trace.len()).map(|step| destinations(&outcome, step)).collect();
            (all, outcome.image.f32().to_vec())
        };
        let (first, again, other) = (drawn_by(1), drawn_by(1), drawn_by(2));
        assert_eq!(first, again, "{folder}: the same seed, another picture");
        assert_ne!(first.0, other.0, "{folder}: another seed, the same draw");
    }
}

/// What a policy carries from step to step belongs to the run: a second run starts anew, and a state that was taken
/// between two steps carries all that the later ones need.
#[test]
fn carried_state_is_reset_and_resumed() {
    let folder = golden("merged/sdtm_dit");
    let request = request(&folder, Given::Needed);
    block_on(async {
        let pipeline = load(Source::Folder(folder.join("model")));
        let whole = pipeline.prepare(&request).await.unwrap().complete().await.unwrap();
        let mut run = pipeline.prepare(&request).await.unwrap();
        let half = run.steps() / 2 + 1;
        take(&mut run, half);
        let state = run.state().await.unwrap();
        let mut later = pipeline.prepare(&request).await.unwrap();
        later.resume(&state).unwrap();
        let resumed = later.complete().await.unwrap();
        assert_eq!(whole.0.f32(), resumed.0.f32(), "resumed in the middle");
        assert_eq!(whole.0.f32(), run.complete().await.unwrap().0.f32(), "a second run");
    });
}

/// A grid with an odd side has no windows: said by name, before anything is computed.
#[test]
fn odd_grids_are_refused_by_name() {
    let folder = golden("merged/sdtm_dit");
    let request = Request { size: Some(Size::new(12, 10)), init_latents: None, ..request(&folder, Given::Needed) };
    let error = load(Source::Folder(folder.join("model"))).start(&request).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("a grid of 5×6 tokens has an odd side"), "{error}");
}

/// One decision of a policy, as the golden `decisions` lists them.
struct Decision {
    name: String,
    kind: String,
    grid: Grid,
    /// Windows, or tokens, that merge.
    count: usize,
    batch: usize,
    compression: Compression,
    index: usize,
}

impl Decision {
    /// With settings under which a policy's schedule asks for just this count.
    fn read(case: &serde_json::Value) -> Self {
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let pair = |value: &serde_json::Value| [number(&value[0]), number(&value[1])];
        let kind = case["kind"].as_str().unwrap().to_owned();
        let (grid, count) = (Grid::from(pair(&case["grid"])), number(&case["count"]));
        let (tokens, asked) = (grid.tokens() as f64, if kind == "structure" { 3 * count } else { count });
        // None is what rounding down to a multiple leaves of some.
        let multiple = if count == 0 { "1000" } else { "1" };
        let ratio = format!("{}", if count == 0 { 0.5 } else { (asked as f64 + 0.5) / tokens });
        let (compression, index) = match kind.as_str() {
            "tome" => {
                let [rows, columns] = pair(&case["stride"]);
                (Compression::policy("tome").with("stride", format!("{rows}x{columns}")), 0)
            }
            stage => {
                let switch_step = if stage == "structure" { 1 } else { 0 };
                let sdtm = Compression::policy("sdtm").with("deviation", 0).with("multiple", multiple);
                let sdtm = sdtm.with("protect_every", 0).with("switch_step", switch_step);
                (sdtm.with("a_s", case["a_s"].as_f64().unwrap_or(0.05)), 1)
            }
        };
        Self {
            name: case["name"].as_str().unwrap().to_owned(),
            batch: number(&case["batch"]),
            compression: compression.with("ratio", ratio).with("deterministic", true),
            kind,
            grid,
            count,
            index,
        }
    }

    /// What is wrong with the policy's decision.
    async fn check(&self, tensors: &Tensors) -> Vec<String> {
        let given = |what: &str| tensors.0.get(&format!("{}/{what}", self.name));
        let metric = given("metric").unwrap();
        let policy = Policies::default().policy(&self.compression, &Trained::default(), 0, true).unwrap();
        let tokens = self.grid.tokens();
        let decided = policy.step(StepAt { index: self.index, of: 3, timestep: 500.0, tokens });
        let mut graph = Graph::new();
        let stream = graph.stored("metric", &metric.shape, Element::F32);
        let step = graph.stored("step", &[step_row::LEN], Element::F32);
        let at = BlockInput { layer: 0, layers: 1, stream, modulated: Some(stream), grid: self.grid, step };
        decided.block(&mut graph, at).unwrap();

        let mut store = Store::new();
        store.insert(device(), "metric", metric).await.unwrap();
        if let Some(ages) = given("age") {
            let ages: Vec<f32> = ages.u32().iter().map(|&age| age as f32).collect();
            let totals = ages.chunks(tokens).map(|sample| sample.iter().sum()).collect();
            let ages = [
                ("ages", Tensor::new(&[self.batch, tokens], ages)),
                ("ages.total", Tensor::new(&[self.batch], totals)),
            ];
            for (name, tensor) in ages {
                store.insert(device(), &format!("{CARRIED}{name}"), &tensor.unwrap()).await.unwrap();
            }
        }
        store.allocate_missing(device(), &graph).await.unwrap();
        let plan = Plan::compile(device(), &graph, &store, Memory::Shared).await.unwrap();
        plan.run(device()).unwrap();

        let mut wrong = Vec::new();
        let alone = || (0..tokens as u32).cycle().take(self.batch * tokens).collect();
        let found = match graph.values().iter().any(|value| value.name == destination_name(0)) {
            true => store.read(device(), &destination_name(0)).await.unwrap().u32().to_vec(),
            false => alone(),
        };
        if found != given("destination").unwrap().u32() {
            wrong.push(format!("{}: {} of {}: other destinations", self.name, self.count, self.kind));
        }
        if let Some(after) = given("age_after") {
            let found = store.read(device(), &format!("{CARRIED}ages")).await.unwrap();
            if !found.f32().iter().map(|&age| age as u32).eq(after.u32().iter().copied()) {
                wrong.push(format!("{}: other ages", self.name));
            }
        }
        wrong
    }
}

/// Single decisions, with ages such as no short run brings about.
#[test]
fn decisions_agree_with_torch() {
    let folder = golden("merged/decisions");
    let tensors = Tensors::read(&folder.join("cases.safetensors"));
    let cases = json(&folder.join("cases.json"));
    let cases: Vec<_> = cases.as_array().unwrap().iter().map(Decision::read).collect();
    assert!(["structure", "detail", "tome"].iter().all(|kind| cases.iter().any(|case| case.kind == *kind)));
    let wrong: Vec<_> = cases.iter().flat_map(|case| block_on(case.check(&tensors))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Attention of a protected step decides where later ones merge.
#[test]
fn attention_can_rank_the_detail_stage() {
    let folder = golden("merged/sdtm_dit");
    let outcome = |more: &[(&str, &str)]| {
        let mut request = request(&folder, Given::Needed);
        for (key, value) in more {
            request.compression = request.compression.with(key, value);
        }
        run(Source::Folder(folder.join("model")), &request)
    };
    let (by_age, by_attention) = (outcome(&[]), outcome(&[("attentiveness", "attention"), ("a_d", "0")]));
    // Steps 1 to 4 merge windows, 5 and 7 single tokens; 0, 3 and 6 are protected.
    assert_eq!(destinations(&by_age, 4), destinations(&by_attention, 4));
    for step in [5, 7] {
        assert_ne!(destinations(&by_age, step), destinations(&by_attention, step), "step {step}");
    }
    let by_both = outcome(&[("attentiveness", "attention"), ("a_d", "1000000")]);
    assert_ne!(destinations(&by_attention, 5), destinations(&by_both, 5), "age counts for nothing");
}

/// Matching holds tiles, never a matrix: what a block's policy adds at 4,096 narrow tokens is far smaller than even a
/// sixteenth of N × N.
#[test]
fn no_matrix_of_all_pairs_is_ever_held() {
    let (grid, channels) = (Grid::new(64, 64), 8);
    let tokens = grid.tokens();
    let sdtm = Compression::policy("sdtm").with("protect_every", 0);
    for (compression, index) in
        [(sdtm.clone(), 1), (sdtm.with("switch_step", 0), 1), (Compression::policy("tome").with("ratio", 0.5), 0)]
    {
        let policy = Policies::default().policy(&compression, &Trained::default(), 0, false).unwrap();
        let decided = policy.step(StepAt { index, of: 3, timestep: 500.0, tokens });
        let mut graph = Graph::new();
        let stream = graph.stored("x", &[1, tokens, channels], Element::F32);
        let step = graph.stored("step", &[step_row::LEN], Element::F32);
        let at = BlockInput { layer: 0, layers: 1, stream, modulated: Some(stream), grid, step };
        decided.block(&mut graph, at).unwrap();
        let largest = graph.values().iter().max_by_key(|value| value.len()).unwrap();
        assert!(!graph.nodes().is_empty() && largest.len() < tokens * tokens / 128, "{compression:?}: {largest:?}");
    }
}
