//! A step cache around other policies against independent PyTorch programs (`training/goldens/cached.py`), and around
//! routing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::pipeline::{
    Given, IMAGE_TOLERANCE, STEP_TOLERANCE, deviations, elsewhere, folders, load, request, run, take, too_far,
};
use common::{Tensors, golden};
use foveate::low_level::weights::Source;
use foveate::{Compression, Request};
use pollster::block_on;

/// What is wrong with a folder's run.
fn check(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let cached = request(folder, Given::Embeds);
    let outcome = run(Source::Folder(folder.join("model")), &cached);
    let (noise, latents, image) = deviations(&outcome, &expected);
    let (sets, traced) = elsewhere(&outcome, &expected);
    // A block that is skipped decides nothing, there as here.
    let all = expected.0.keys().filter(|name| name.starts_with("merge.destination.")).count();
    assert_eq!(traced, all, "{name}: layers and steps that merge");
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}, sets that differ {sets}");

    // The twin that must fail: the same policy without the cache.
    assert!(cached.compression.cache.is_some(), "{name}: its request has no step cache");
    let plain = Request { compression: Compression { cache: None, ..cached.compression }, ..cached };
    let plain = deviations(&run(Source::Folder(folder.join("model")), &plain), &expected).0;
    assert!(plain > STEP_TOLERANCE, "{name}: a run without the cache passes ({plain:.1e})");

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
fn cached_pipelines_agree_with_torch() {
    let folders = folders("FOVEATE_CACHED_GOLDENS", "cached");
    let wrong: Vec<_> = folders.iter().flat_map(|folder| check(folder)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A model that routes, without a cache and under one.
fn routed() -> (Source, [Request; 2]) {
    let folder = golden("routed/pixart_rescaled");
    let plain = request(&folder, Given::Needed);
    let cache = Some("every=2,first=1,last=1".parse().unwrap());
    let cached = Request { compression: Compression { cache, ..plain.compression.clone() }, ..plain.clone() };
    (Source::Folder(folder.join("model")), [plain, cached])
}

/// Routing under a cache: less work, another result, and none of it at a step that computes all blocks from the same
/// latents.
#[test]
fn routing_composes_with_it() {
    let (source, [plain, cached]) = routed();
    let outcomes = [&plain, &cached].map(|request| run(source.clone(), request));
    let [without, with] = &outcomes;
    assert_eq!(without.noise_pred[0].f32(), with.noise_pred[0].f32(), "step 0 computes all blocks");
    assert_eq!(without.latents[0].f32(), with.latents[0].f32(), "step 0");
    for step in 1..with.noise_pred.len() {
        assert_ne!(without.noise_pred[step].f32(), with.noise_pred[step].f32(), "step {step} reuses nothing");
    }
    // A skipped block is told of as it was when it last computed; those at the ends route at every step.
    let scores = |step: usize, layer: usize| with.routed(step).nth(layer).unwrap().1.f32();
    let layers = with.trace[0].len();
    for step in (1..with.trace.len()).step_by(2) {
        for layer in 0..layers {
            let inner = layer > 0 && layer + 1 < layers;
            assert_eq!(scores(step, layer) == scores(step - 1, layer), inner, "layer {layer} of step {step}");
        }
    }
    block_on(async {
        let pipeline = load(source);
        let mut flops = Vec::new();
        for request in [&plain, &cached] {
            let run = pipeline.prepare(request).await.unwrap();
            flops.push((run.flops_per_step(), run.dense_flops_per_step()));
        }
        let [(without, dense), (with, _)] = flops[..] else { unreachable!() };
        assert!(with < without && without < dense, "{with}, {without}, {dense} FLOPs a step");
    });
}

/// What was kept belongs to the run: a second run starts anew, and a state taken before a step that reuses carries it.
#[test]
fn what_is_kept_is_reset_and_resumed() {
    let (source, [_, cached]) = routed();
    block_on(async {
        let pipeline = load(source);
        let whole = pipeline.prepare(&cached).await.unwrap().complete().await.unwrap();
        let mut run = pipeline.prepare(&cached).await.unwrap();
        take(&mut run, 3);
        let state = run.state().await.unwrap();
        let mut later = pipeline.prepare(&cached).await.unwrap();
        later.resume(&state).unwrap();
        assert_eq!(whole.0.f32(), later.complete().await.unwrap().0.f32(), "resumed before a step that reuses");
        assert_eq!(whole.0.f32(), run.complete().await.unwrap().0.f32(), "a second run");
    });
}
