//! Routed transformers against an independent PyTorch program (`training/goldens/routed.py`), and what else routing
//! promises.
//!
//! `FOVEATE_ROUTED_GOLDENS=FOLDER cargo test --test routing` holds other folders of the same format to the same
//! tolerances (see `training/goldens/routed_unseen.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use common::pipeline::{
    Given, IMAGE_TOLERANCE, SCORE_TOLERANCE, STEP_TOLERANCE, deviations, folders, load, read_folder, request, routing,
    run, take, too_far,
};
use common::{Tensors, golden, gpu};
use foveate::Traced;
use foveate::low_level::weights::Source;
use foveate::{Compression, Gpu, GpuOptions, LoadOptions, Pipeline, Request};
use pollster::block_on;

/// What is wrong with a folder's run.
fn check(folder: &Path, given: Given) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut request = request(folder, given);
    let outcome = run(Source::Folder(folder.join("model")), &request);
    let (noise, latents, image) = deviations(&outcome, &expected);
    let (sets, scores) = routing(&outcome, &expected);
    assert!(outcome.routed(0).count() > 0, "{name}: nothing was routed");
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}, scores {scores:.1e}");

    // Tracing, which adds a selection where all tokens are kept, must change nothing.
    request.traced = false;
    let untraced = run(Source::Folder(folder.join("model")), &request);
    assert!(untraced.trace.iter().all(Vec::is_empty));
    assert_eq!(untraced.image.f32(), outcome.image.f32(), "{name}: tracing changes the picture");

    // The twin that must fail: the same weights without routing.
    request.compression = Compression::policy("dense");
    let dense = deviations(&run(Source::Folder(folder.join("model")), &request), &expected).0;
    assert!(dense > STEP_TOLERANCE, "{name}: a dense run passes ({dense:.1e})");

    too_far(
        &name,
        [
            ("noise prediction", noise, STEP_TOLERANCE),
            ("latents", latents, STEP_TOLERANCE),
            ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
            ("scores", f64::from(scores), f64::from(SCORE_TOLERANCE)),
            ("kept sets", sets as f64, 0.0),
        ],
    )
}

#[test]
fn routed_pipelines_agree_with_torch() {
    let folders = folders("FOVEATE_ROUTED_GOLDENS", "routed");
    let wrong: Vec<_> = folders.iter().flat_map(|folder| check(folder, Given::Embeds)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The twin that must fail: the same matrix with its regions the other way round.
#[test]
fn regions_the_other_way_round_show() {
    let folder = golden("routed/dit_regions");
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let mut files = read_folder(&folder.join("model"));
    let config = files.get_mut("transformer/config.json").unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(config).unwrap();
    json["diffcr"]["kept_ratio"].as_array_mut().unwrap().reverse();
    *config = serde_json::to_vec(&json).unwrap();
    let outcome = run(Source::Memory(Arc::new(files)), &request(&folder, Given::Needed));
    assert!(routing(&outcome, &expected).0 > 0, "reversed regions keep the same tokens");
}

/// Several pictures and no guidance: the rows of what is traced are where `conditional_sample` says.
#[test]
fn every_picture_of_a_batch_is_routed_by_itself() {
    let folder = golden("routed/pixart_sigma_mlp");
    block_on(async {
        let pipeline = load(Source::Folder(folder.join("model")));
        let mut kept = Vec::new();
        for (count, guidance, rows) in [(1, 4.0, [1, 1]), (2, 4.0, [2, 3]), (1, 1.0, [0, 0]), (2, 1.0, [0, 1])] {
            let request = request(&folder, Given::Needed);
            let request =
                Request { count: Some(count), guidance: Some(guidance), seed: 3, init_latents: None, ..request };
            let mut run = pipeline.prepare(&request).await.unwrap();
            assert!(run.trace().await.unwrap().is_empty(), "a trace before the first step");
            take(&mut run, 1);
            let layers = run.trace().await.unwrap();
            let samples = count * if guidance > 1.0 { 2 } else { 1 };
            for (picture, row) in (0..count).zip(rows) {
                assert_eq!(run.conditional_sample(picture), row, "{count} pictures, guidance {guidance}");
            }
            let mask = |row: usize| {
                let of = |traced: &Traced| {
                    let kept = traced.computed().unwrap();
                    assert_eq!(kept.shape[0], samples);
                    kept.f32().chunks(kept.shape[1]).nth(row).unwrap().to_vec()
                };
                layers.iter().map(|layer| of(&layer.tokens)).collect::<Vec<_>>()
            };
            kept.push(rows.map(mask));
        }
        // The first picture of two starts from the noise of the only one, and the condition is what guidance leaves
        // alone.
        assert_eq!(kept[0][0], kept[1][0]);
        assert_eq!(kept[0][0], kept[2][0]);
        assert_ne!(kept[1][0], kept[1][1], "two pictures, one routing");
        assert_eq!(kept[1][1], kept[3][1]);
    });
}

/// After it was prepared, a run's steps only replay: the device's allocator sees nothing of them. Metal has no
/// allocator that reports.
#[cfg(not(target_vendor = "apple"))]
#[test]
fn steps_allocate_nothing() {
    let folder = golden("routed/dit_regions");
    block_on(async {
        // An adapter of its own: other tests allocate beside this one.
        let gpu = Gpu::request(GpuOptions::default()).await.unwrap();
        let source = Source::Folder(folder.join("model"));
        let pipeline = Pipeline::load(&gpu, source, LoadOptions::default(), |_| {}).await.unwrap();
        let request = Request { traced: false, ..request(&folder, Given::Needed) };
        let mut run = pipeline.prepare(&request).await.unwrap();
        assert!(run.plans() > 1 && run.plans() < run.steps(), "{} plans, {} steps", run.plans(), run.steps());
        gpu.wait().await.unwrap();
        let allocated =
            || gpu.device().generate_allocator_report().expect("an allocator that reports").allocations.len();
        let before = allocated();
        let mut flops = Vec::new();
        while let Some(step) = run.next_step() {
            flops.push(step.flops());
            let mut encoder = gpu.encoder();
            step.encode(&mut encoder).unwrap();
            gpu.submit(encoder);
            gpu.wait().await.unwrap();
            assert!(allocated() <= before, "a step allocated");
        }
        assert!(flops.iter().any(|&of| of != flops[0]), "regions cost alike: {flops:?}");
        let _buffer = gpu.allocate(64 << 20, "control").await.unwrap();
        assert!(allocated() > before, "an allocation would not show");
    });
}

#[test]
fn memory_and_work_fall_with_the_kept_ratio() {
    let folder = golden("routed/pixart_large");
    block_on(async {
        let pipeline = load(Source::Folder(folder.join("model")));
        let mut before = (u64::MAX, u64::MAX);
        for ratio in [None, Some(0.1), Some(0.3), Some(0.6)] {
            let request = request(&folder, Given::Embeds);
            let policy = if ratio.is_some() { "mod" } else { "dense" };
            let compression = Compression { ratio, ..Compression::policy(policy) };
            let request = Request { compression, traced: false, ..request };
            let run = pipeline.prepare(&request).await.unwrap();
            let now = (run.transient_bytes(), run.flops_per_step());
            assert!(now.0 < before.0 && now.1 < before.1, "{ratio:?}: {now:?} after {before:?}");
            before = now;
        }
    });
}

/// What is wrong with a checkpoint's routing is an error that names it, before anything is drawn.
#[test]
fn bad_checkpoints_are_named() {
    let folder = golden("routed/pixart_sigma_mlp");
    let files = read_folder(&folder.join("model"));
    let weights = "transformer/diffusion_pytorch_model.safetensors";
    let width = Tensors::read(&folder.join("model").join(weights)).get("transformer_blocks.0.router.weight").shape[1];
    type Edit = Box<dyn Fn(&mut serde_json::Value)>;
    let diffcr = |edit: fn(&mut serde_json::Map<String, serde_json::Value>)| -> Edit {
        Box::new(move |config| edit(config["diffcr"].as_object_mut().unwrap()))
    };
    let cases: Vec<(Edit, Option<&str>, &str)> = vec![
        (diffcr(|d| drop(d.remove("bins"))), None, "bins is missing"),
        (diffcr(|d| drop(d.remove("train_timesteps"))), None, "train_timesteps is missing"),
        (diffcr(|d| d["kept_ratio"][0][0] = 1.2.into()), None, "kept_ratio = 1.2: a kept ratio is above 0"),
        (diffcr(|d| d["kept_ratio"] = serde_json::json!([[0.5]])), None, "kept_ratio[0] = [0.5]"),
        (
            Box::new(|config| drop(config.as_object_mut().unwrap().remove("diffcr"))),
            Some("diffcr"),
            "has no \"diffcr\"",
        ),
        (Box::new(|config| drop(config.as_object_mut().unwrap().remove("diffcr"))), Some("mod"), "cannot run mod"),
    ];
    let failure = |files, policy: Option<&str>| {
        let compression = policy.map(Compression::policy).unwrap_or_default();
        let request = Request { compression, ..request(&folder, Given::Embeds) };
        let source = Source::Memory(Arc::new(files));
        block_on(async {
            let pipeline = Pipeline::load(gpu(), source, LoadOptions::default(), |_| {}).await?;
            pipeline.prepare(&request).await.map(|_| ())
        })
        .map_or_else(|error| format!("{error}: {:?}", error.source()), |()| "no error".into())
    };
    for (edit, policy, reason) in cases {
        let mut files = files.clone();
        let config = files.get_mut("transformer/config.json").unwrap();
        let mut json = serde_json::from_slice(config).unwrap();
        edit(&mut json);
        *config = serde_json::to_vec(&json).unwrap();
        let told = failure(files, policy);
        assert!(told.contains(reason), "{reason}: {told}");
    }

    let mut files = files.clone();
    let file = files.get_mut(weights).unwrap();
    let (known, other) = (format!("[1,{width}]"), format!("[{width},1]"));
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(file[8..8 + header].to_vec()).unwrap();
    let at = text.find("transformer_blocks.1.router.weight").unwrap();
    let edited = format!("{}{}", &text[..at], text[at..].replacen(&known, &other, 1));
    assert_ne!(text, edited);
    file[8..8 + header].copy_from_slice(edited.as_bytes());
    let told = failure(files, None);
    assert!(told.contains("transformer_blocks.1.router.weight") && told.contains(&format!("[{width}, 1]")), "{told}");
}
