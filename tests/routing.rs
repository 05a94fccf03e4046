//! Routed transformers against an independent PyTorch program (`training/goldens/routed.py`), and what else routing promises.
//!
//! `FOVEATE_ROUTED_GOLDENS=FOLDER cargo test --test routing` holds other folders of the same format to the same
//! tolerances (see `training/goldens/routed_unseen.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::pipeline::{Given, Outcome, deviations, folders, request, run};
use common::{Tensors, golden, max_error};
use foveate::pipelines::{Compress, LayerRouting};
use foveate::weights::Source;

/// Noise prediction and latents, relative L2: a third of what the project promises (1e-4).
const STEP_TOLERANCE: f64 = 3e-5;
/// Final image, maximum absolute error.
const IMAGE_TOLERANCE: f32 = 2e-3;
/// Router scores, maximum absolute error.
const SCORE_TOLERANCE: f32 = 2e-5;

/// (kept sets that differ, largest error of a score) over all steps and layers.
fn routing(outcome: &Outcome, expected: &Tensors) -> (usize, f32) {
    let (mut wrong, mut worst, mut layers) = (0, 0.0f32, 0);
    for (step, routed) in outcome.routing.iter().enumerate() {
        for (layer, LayerRouting { scores, kept }) in routed.iter().enumerate() {
            let expect = |what: &str| expected.get(&format!("router.{what}.{step}.{layer}"));
            wrong += usize::from(kept.f32() != expect("kept").f32());
            worst = worst.max(max_error(scores.f32(), expect("scores").f32()));
            layers += 1;
        }
    }
    let all = expected.0.keys().filter(|name| name.starts_with("router.kept.")).count();
    assert!(layers == all && all > 0, "{layers} layers were traced, the golden has {all}");
    (wrong, worst)
}

/// What is wrong with a folder's run.
fn check(folder: &Path, given: Given) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut request = request(folder, given);
    let outcome = run(Source::Folder(folder.join("model")), &request);
    let (noise, latents, image) = deviations(&outcome, &expected);
    let (sets, scores) = routing(&outcome, &expected);
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}, scores {scores:.1e}");

    // Tracing, which adds a selection where all tokens are kept, must change nothing.
    request.traced = false;
    let untraced = run(Source::Folder(folder.join("model")), &request);
    assert!(untraced.routing.iter().all(Vec::is_empty));
    assert_eq!(untraced.image.f32(), outcome.image.f32(), "{name}: tracing changes the picture");

    // The twin that must fail: the same weights without routing.
    (request.compress, request.ratio) = (Compress::Dense, None);
    let dense = deviations(&run(Source::Folder(folder.join("model")), &request), &expected).0;
    assert!(dense > STEP_TOLERANCE, "{name}: a dense run passes ({dense:.1e})");

    let mut wrong = Vec::new();
    for (what, off, tolerance) in [
        ("noise prediction", noise, STEP_TOLERANCE),
        ("latents", latents, STEP_TOLERANCE),
        ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
        ("scores", f64::from(scores), f64::from(SCORE_TOLERANCE)),
        ("kept sets", sets as f64, 0.0),
    ] {
        if off > tolerance {
            wrong.push(format!("{name}: {what} off by {off:.2e}, allowed {tolerance:.0e}"));
        }
    }
    wrong
}

#[test]
fn routed_pipelines_agree_with_torch() {
    let folders = folders("FOVEATE_ROUTED_GOLDENS", "routed");
    let wrong: Vec<_> = folders.iter().flat_map(|folder| check(folder, Given::Embeds)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The twin that must fail: a step in another region of the timesteps.
#[test]
fn another_matrix_shows() {
    let folder = golden("routed/dit_regions");
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut request = request(&folder, Given::Needed);
    request.ratio = Some(0.35);
    let outcome = run(Source::Folder(folder.join("model")), &request);
    assert!(routing(&outcome, &expected).0 > 0, "another matrix keeps the same tokens");
}
