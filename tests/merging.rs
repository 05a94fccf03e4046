//! Training-free merging against independent PyTorch programs (`training/goldens/merged.py`), and what else it promises.
//!
//! `FOVEATE_MERGED_GOLDENS=FOLDER cargo test --test merging` holds other folders of the same format to the same
//! tolerances (see `training/goldens/merged_unseen.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::pipeline::{Given, Outcome, deviations, folders, request, run};
use common::{Tensors, golden, gpu};
use foveate::pipelines::{Compress, LayerMerging, LoadOptions, Pipeline, Request};
use foveate::weights::Source;
use pollster::block_on;

/// Noise prediction and latents, relative L2: a third of what the project promises (1e-4).
const STEP_TOLERANCE: f64 = 3e-5;
/// Final image, maximum absolute error.
const IMAGE_TOLERANCE: f32 = 2e-3;

/// Layers and steps whose tokens went elsewhere than the golden's.
fn elsewhere(outcome: &Outcome, expected: &Tensors) -> usize {
    let (mut wrong, mut found) = (0, 0);
    for (step, layers) in outcome.merging.iter().enumerate() {
        for LayerMerging { layer, destination } in layers {
            let name = format!("merge.destination.{step}.{layer}");
            wrong += usize::from(destination.u32() != expected.get(&name).u32());
            found += 1;
        }
    }
    let all = expected.0.keys().filter(|name| name.starts_with("merge.destination.")).count();
    assert!(found == all && all > 0, "{found} layers and steps were traced, the golden has {all}");
    wrong
}

/// What is wrong with a folder's run.
fn check(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut request = request(folder, Given::Embeds);
    let outcome = run(Source::Folder(folder.join("model")), &request);
    let (noise, latents, image) = deviations(&outcome, &expected);
    let sets = elsewhere(&outcome, &expected);
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}, sets that differ {sets}");

    // The twin that must fail: the same model without merging.
    (request.compress, request.ratio, request.set) = (Compress::Dense, None, Vec::new());
    let dense = deviations(&run(Source::Folder(folder.join("model")), &request), &expected).0;
    assert!(dense > STEP_TOLERANCE, "{name}: a dense run passes ({dense:.1e})");

    let mut wrong = Vec::new();
    for (what, off, tolerance) in [
        ("noise prediction", noise, STEP_TOLERANCE),
        ("latents", latents, STEP_TOLERANCE),
        ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
        ("merged sets", sets as f64, 0.0),
    ] {
        if off > tolerance {
            wrong.push(format!("{name}: {what} off by {off:.2e}, allowed {tolerance:.0e}"));
        }
    }
    wrong
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
    request.set.retain(|(key, _)| key != "deterministic");
    (Source::Folder(folder.join("model")), Request { seed, ..request })
}

/// The seed decides what is drawn, and nothing else does. The noise is given, so that only the draw can differ.
#[test]
fn the_seed_decides_every_draw() {
    for folder in ["merged/tome_pixart", "merged/sdtm_dit"] {
        let destinations = |seed| {
            let (source, mut request) = drawn(folder, seed);
            let inputs = Tensors::read(&golden(folder).join("inputs.safetensors"));
            request.init_latents = Some(inputs.get("latents").clone());
            let outcome = run(source, &request);
            let all: Vec<Vec<u32>> =
                outcome.merging.iter().flatten().map(|layer| layer.destination.u32().to_vec()).collect();
            (all, outcome.image.f32().to_vec())
        };
        let (first, again, other) = (destinations(1), destinations(1), destinations(2));
        assert_eq!(first, again, "{folder}: the same seed, another picture");
        assert_ne!(first.0, other.0, "{folder}: another seed, the same draw");
    }
}

/// What a policy carries from step to step belongs to the run: a second run starts anew, and a state that was taken between two
/// steps carries all that the later ones need.
#[test]
fn carried_state_is_reset_and_resumed() {
    let folder = golden("merged/sdtm_dit");
    let request = request(&folder, Given::Needed);
    block_on(async {
        let source = Source::Folder(folder.join("model"));
        let pipeline = Pipeline::load(gpu(), source, LoadOptions::default(), |_| {}).await.unwrap();
        let whole = pipeline.prepare(&request).await.unwrap().complete().await.unwrap();
        let mut run = pipeline.prepare(&request).await.unwrap();
        for _ in 0..run.steps() / 2 + 1 {
            let step = run.next_step().unwrap();
            let mut encoder = gpu().encoder();
            step.encode(&mut encoder).unwrap();
            gpu().submit(encoder);
        }
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
    let request = Request { size: Some([12, 10]), init_latents: None, ..request(&folder, Given::Needed) };
    block_on(async {
        let source = Source::Folder(folder.join("model"));
        let pipeline = Pipeline::load(gpu(), source, LoadOptions::default(), |_| {}).await.unwrap();
        let error = pipeline.prepare(&request).await.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("a grid of 5×6 tokens has an odd side"), "{error}");
    });
}
