//! The processor draws what a GPU draws: whole pipelines against the goldens, dense, routed, merged and cached, and the
//! same bytes with any number of threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::pipeline::{
    Given, IMAGE_TOLERANCE, Outcome, SCORE_TOLERANCE, STEP_TOLERANCE, deviations, elsewhere, folders, request, routing,
    run_on, too_far,
};
use common::{Tensors, golden};
use foveate::Device;
use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::weights::Source;

fn processor(threads: usize, packed: u64) -> Device {
    Processor::new(ProcessorOptions { threads: Some(threads), packed, ..Default::default() }).unwrap().into()
}

fn run(device: &Device, folder: &Path, given: Given) -> Outcome {
    run_on(device, Source::Folder(folder.join("model")), &request(folder, given))
}

/// What is wrong with a folder's run.
fn check(folder: &Path, given: Given) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut outcome = run(&processor(2, 1 << 30), folder, given);
    let (noise, latents, image) = deviations(&outcome, &expected);
    let (merged, traced) = elsewhere(&outcome, &expected);
    let (kept, scores) = routing(&outcome, &expected);
    let merges = expected.0.keys().any(|name| name.starts_with("merge.destination."));
    assert_eq!(traced > 0, merges, "{name}: {traced} layers were traced");
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}, sets {merged}, {kept}");
    let wrong = too_far(
        &name,
        [
            ("noise prediction", noise, STEP_TOLERANCE),
            ("latents", latents, STEP_TOLERANCE),
            ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
            ("merged sets", merged as f64, 0.0),
            ("kept sets", kept as f64, 0.0),
            ("scores", f64::from(scores), f64::from(SCORE_TOLERANCE)),
        ],
    );
    // The twin that must fail: the steps in another order.
    if outcome.latents.len() > 1 {
        outcome.latents.swap(0, 1);
        assert!(deviations(&outcome, &expected).1 > STEP_TOLERANCE, "{name}: swapped steps pass");
    }
    wrong
}

fn check_all(below: &str, given: Given) {
    let wrong: Vec<_> =
        folders("FOVEATE_PROCESSOR_GOLDENS", below).iter().flat_map(|folder| check(folder, given)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dense_pipelines_agree_with_diffusers() {
    check_all("", Given::Needed);
}

#[test]
fn routed_pipelines_agree_with_torch() {
    check_all("routed", Given::Embeds);
}

#[test]
fn merging_pipelines_agree_with_torch() {
    check_all("merged", Given::Embeds);
}

#[test]
fn cached_pipelines_agree_with_torch() {
    check_all("cached", Given::Embeds);
}

/// Threads share out the output, never a sum; and a weight is the same number whether it is kept packed or decoded.
#[test]
fn any_number_of_threads_draws_the_same_bytes() {
    for name in ["dit_ddim", "pixart_sigma", "routed/dit_block_f16", "merged/sdtm_dit"] {
        let folder = golden(name);
        let bytes = |threads, packed| {
            let outcome = run(&processor(threads, packed), &folder, Given::Needed);
            let of = |tensors: &[foveate::Tensor]| tensors.iter().flat_map(|t| t.bytes().to_vec()).collect::<Vec<_>>();
            (of(&outcome.noise_pred), outcome.image.bytes().to_vec())
        };
        let one = bytes(1, 1 << 30);
        for (threads, packed) in [(2, 1 << 30), (3, 0)] {
            assert!(one == bytes(threads, packed), "{name}: {threads} threads draw another picture");
        }
    }
}
