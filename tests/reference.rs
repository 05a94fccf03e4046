//! A device without a driver draws what a GPU draws: the same pipelines, every op by its reference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::pipeline::{Given, IMAGE_TOLERANCE, STEP_TOLERANCE, deviations, request, run_on};
use common::{Tensors, golden};
use foveate::low_level::device::Reference;
use foveate::low_level::weights::Source;
use foveate::{Error, LoadOptions, Pipeline, Request};
use pollster::block_on;

#[test]
fn golden_pipelines_are_drawn_without_a_gpu() {
    for name in ["dit_ddim", "pixart_sigma", "routed/dit_mlp"] {
        let folder = golden(name);
        let source = Source::Folder(folder.join("model"));
        let outcome = run_on(&Reference::new().into(), source, &request(&folder, Given::Needed));
        let expected = Tensors::read(&folder.join("expected.safetensors"));
        let (noise, latents, image) = deviations(&outcome, &expected);
        assert!(noise < STEP_TOLERANCE && latents < STEP_TOLERANCE, "{name}: {noise:.1e}, {latents:.1e}");
        assert!(image < IMAGE_TOLERANCE, "{name}: {image:.1e}");
    }
}

#[test]
fn what_needs_a_gpu_says_so() {
    let source = Source::Folder(golden("dit_ddim").join("model"));
    block_on(async {
        let device = Reference::new();
        let pipeline = Pipeline::load(&device, source, LoadOptions::default(), |_| {}).await.unwrap();
        let request = Request { class: Some(1), steps: Some(1), ..Default::default() };
        let run = pipeline.prepare(&request).await.unwrap();
        let error = run.texture().await.unwrap_err();
        assert!(matches!(error, Error::NeedsGpu { .. }));
        assert_eq!(error.to_string(), "a texture needs a GPU; this device is reference");
    });
}

#[test]
fn loading_ends_where_progress_says_so() {
    let load = |most: u64| {
        let (mut told, source) = (0, Source::Folder(golden("dit_ddim").join("model")));
        let progress = |_: foveate::Progress<'_>| {
            told += 1;
            if told > most { Err(Error::Cancelled) } else { Ok(()) }
        };
        let loaded = block_on(Pipeline::load(&Reference::new(), source, LoadOptions::default(), progress));
        (loaded, told)
    };
    let (stopped, told) = load(2);
    assert!(matches!(stopped, Err(Error::Cancelled)) && told == 3, "{told}");
    assert!(load(u64::MAX).0.is_ok());
}
