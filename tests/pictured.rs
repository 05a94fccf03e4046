//! Runs that begin with a picture, against diffusers' parts: image-to-image, latent blending, mask channels.
//!
//! `FOVEATE_PICTURED=FOLDER cargo test --test pictured` holds other folders of the same format to the same tolerances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::pipeline::{
    Given, IMAGE_TOLERANCE, Outcome, STEP_TOLERANCE, deviations, folders, load, request, run_on, too_far,
};
use common::{Tensors, device, golden, max_error};
use foveate::compress::MaskedCompute;
use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::tensor::relative_l2;
use foveate::low_level::weights::Source;
use foveate::{Device, Refusal, Request, Size, Tensor};
use pollster::block_on;

fn check(device: &Device, folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let outcome = run_on(device, Source::Folder(folder.join("model")), &request(folder, Given::Needed));
    let steps = expected.0.keys().filter(|k| k.starts_with("latents.")).count();
    assert_eq!(outcome.latents.len(), steps, "{name}: steps");
    let (noise, latents, image) = match expected.0.contains_key("noise_pred.0") {
        true => deviations(&outcome, &expected),
        false => deviations(&Outcome { noise_pred: Vec::new(), ..outcome }, &expected),
    };
    println!("{name}: noise prediction {noise:.1e}, latents {latents:.1e}, image {image:.1e}");
    let found = [
        ("noise prediction", noise, STEP_TOLERANCE),
        ("latents", latents, STEP_TOLERANCE),
        ("image", f64::from(image), f64::from(IMAGE_TOLERANCE)),
    ];
    too_far(&name, found)
}

fn check_all(device: &Device) {
    let wrong: Vec<_> =
        folders("FOVEATE_PICTURED", "pictured").iter().flat_map(|folder| check(device, folder)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn equals_diffusers_parts() {
    check_all(device());
}

#[test]
fn equals_diffusers_parts_on_the_processor() {
    check_all(&Processor::new(ProcessorOptions::default()).unwrap().into());
}

/// What of the request matters: each change of it shows, so none of it is ignored.
#[test]
fn picture_mask_and_strength_matter() {
    for name in ["change_dpm", "blend_dpm", "fill_in"] {
        let folder = golden("pictured").join(name);
        let good = request(&folder, Given::Needed);
        let expected = Tensors::read(&folder.join("expected.safetensors"));
        let mut changed = vec![Request { strength: Some(0.5), ..good.clone() }];
        let inverted = |tensor: &Tensor| {
            Tensor::new(&tensor.shape, tensor.f32().iter().map(|value| 1.0 - value).collect()).unwrap()
        };
        changed.push(Request { image: good.image.as_ref().map(inverted), ..good.clone() });
        if good.mask.is_some() {
            changed.push(Request { mask: good.mask.as_ref().map(inverted), ..good.clone() });
        }
        for (index, request) in changed.iter().enumerate() {
            let outcome = run_on(device(), Source::Folder(folder.join("model")), request);
            let image = max_error(outcome.image.f32(), expected.get("image").f32());
            assert!(image > 10.0 * IMAGE_TOLERANCE, "{name}: change {index} moves the picture by {image:.1e} only");
        }
    }
}

/// The latents of the picture serve as well as the picture.
#[test]
fn latents_of_the_picture_take_its_place() {
    let folder = golden("pictured/blend_dpm");
    let pipeline = load(Source::Folder(folder.join("model")));
    let zeros = |shape: &[usize]| Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
    let good = request(&folder, Given::Needed);
    let latents = Tensor::new(&[1, 4, 12, 8], (0..384).map(|i| (i as f32).sin()).collect()).unwrap();
    let given = Request { image: None, image_latents: Some(latents.clone()), mask: Some(zeros(&[24, 16])), ..good };
    let run = block_on(async {
        let mut run = pipeline.prepare(&given).await.unwrap();
        while let Some(step) = run.next_step() {
            step.run().unwrap();
        }
        run.read("latents").await.unwrap()
    });
    // Nothing is drawn anew, so that the last step leaves them as they were.
    assert_eq!(run, latents);
}

/// What a run keeps of its picture is not in a preview's way.
#[test]
fn previews_show_what_decoding_gives() {
    for name in ["blend_dpm", "fill_in"] {
        let folder = golden("pictured").join(name);
        let pipeline = load(Source::Folder(folder.join("model")));
        let mut run = pipeline.start(&request(&folder, Given::Needed)).unwrap();
        let viewer = block_on(run.viewer()).unwrap();
        while let Some(step) = run.next_step() {
            step.run().unwrap();
            let shown = block_on(viewer.rgba()).unwrap();
            let decoded = block_on(run.decode()).unwrap().rgb(0).unwrap();
            let same = decoded.pixels().zip(shown.chunks_exact(4)).all(|(a, b)| a.0 == b[..3]);
            assert!(same, "{name}: the preview is not the picture");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let folder = golden("pictured/blend_dpm");
    let pipeline = load(Source::Folder(folder.join("model")));
    let fills_in = load(Source::Folder(golden("pictured/fill_in").join("model")));
    let good = request(&folder, Given::Needed);
    let plane =
        |height: usize, width: usize, value: f32| Tensor::new(&[height, width], vec![value; height * width]).unwrap();
    let refused = |pipeline: &foveate::Pipeline, request: Request, reason: &str| {
        let error = block_on(pipeline.prepare(&request)).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
    };
    for (request, reason) in [
        (Request { mask: Some(plane(24, 15, 1.0)), ..good.clone() }, "the mask has 15x24 pixels, and 16x24 are needed"),
        (
            Request { size: Some(Size::new(16, 16)), ..good.clone() },
            "the picture has 16x24 pixels, and 16x16 are needed",
        ),
        (Request { mask: Some(plane(24, 16, f32::NAN)), ..good.clone() }, "mask: number 0 is NaN"),
        (Request { mask: Some(plane(24, 16, 2.0)), ..good.clone() }, "mask: 2 is not between 0 and 1"),
        (Request { image: Some(plane(24, 16, 0.5)), ..good.clone() }, "image [24, 16]: expected [3, height, width]"),
        (Request { strength: Some(0.0), ..good.clone() }, "a strength of 0 is not above 0"),
        (Request { strength: Some(1.5), ..good.clone() }, "a strength of 1.5 is not above 0"),
        (Request { strength: Some(f64::NAN), ..good.clone() }, "a strength of NaN is not above 0"),
        (Request { strength: Some(0.1), ..good.clone() }, "a strength of 0.1 leaves none of 4 steps"),
        (Request { image: None, ..good.clone() }, "a mask needs the picture"),
        (
            Request {
                image: None,
                image_latents: Some(Tensor::new(&[1, 4, 12, 8], vec![0.0; 384]).unwrap()),
                mask: Some(plane(5, 3, 1.0)),
                ..good.clone()
            },
            "the mask has 3x5 pixels, and 16x24 are needed",
        ),
        (Request { image: None, mask: None, strength: Some(0.5), ..good.clone() }, "a strength needs the picture"),
    ] {
        refused(&pipeline, request, reason);
    }
    refused(&fills_in, Request::prompt("a fox"), &Refusal::NeedsMask.to_string());
}

/// A routed model's mask from the golden, as a request of latent blending with masked compute.
fn routed(masked: Option<MaskedCompute>, marked: impl Fn(usize, usize) -> bool) -> (Source, Request) {
    let folder = golden("routed/dit_mlp");
    let mut request = request(&folder, Given::Needed);
    let Size { width, height } = request.size.unwrap();
    let pixels = (0..3 * height * width).map(|i| 0.5 + 0.4 * (i as f32).sin()).collect();
    request.image = Some(Tensor::new(&[3, height, width], pixels).unwrap());
    let mask = (0..height * width).map(|at| f32::from(u8::from(marked(at / width, at % width)))).collect();
    request.mask = Some(Tensor::new(&[height, width], mask).unwrap());
    request.compression.masked = masked;
    (Source::Folder(folder.join("model")), request)
}

/// Where every step is a whole one, and where the mask is the whole picture, nothing changes.
#[test]
fn masked_compute_of_everything_is_the_whole() {
    for name in ["blend_dpm", "blend_dit_euler"] {
        let folder = golden("pictured").join(name);
        let plain = request(&folder, Given::Needed);
        let all = Tensor::new(&plain.mask.as_ref().unwrap().shape, vec![1.0; plain.mask.as_ref().unwrap().data.len()]);
        let whole = Request { mask: Some(all.unwrap()), ..plain.clone() };
        for (request, masked) in [(&plain, "every=1,around=0"), (&whole, "every=9,around=0")] {
            let mut asked = request.clone();
            asked.compression.masked = Some(masked.parse().unwrap());
            let source = || Source::Folder(folder.join("model"));
            let (found, expected) = (run_on(device(), source(), &asked), run_on(device(), source(), request));
            let off = relative_l2(found.latents.last().unwrap().f32(), expected.latents.last().unwrap().f32());
            assert!(off < 1e-6, "{name}, {masked}: {off:.1e}");
        }
    }
}

/// Routing goes on under the mask: no token outside it is computed, and of those under it the layer's share.
#[test]
fn routers_choose_among_the_tokens_under_the_mask() {
    let (source, request) = routed(Some("every=9,around=0".parse().unwrap()), |_, x| x < 8);
    let outcome = run_on(device(), source, &request);
    let mut fewer = false;
    let columns = 5; // 20 pixels are 10 latent pixels, 5 tokens, of which the mask covers 2
    for step in 0..outcome.trace.len() {
        for (layer, _, kept) in outcome.routed(step) {
            let under = kept.f32().iter().enumerate().filter(|(at, _)| at % columns < 2);
            let computed: f32 = kept.f32().iter().sum();
            let under: f32 = under.map(|(_, kept)| kept).sum();
            match step {
                0 => assert_eq!(computed as usize, kept.data.len(), "layer {layer}: the first step computes all"),
                _ => {
                    assert_eq!(under, computed, "step {step}, layer {layer}: a token outside the mask is computed");
                    assert!(computed >= 1.0, "step {step}, layer {layer}: no token is computed");
                    fewer |= computed < (kept.data.len() / columns * 2) as f32;
                }
            }
        }
    }
    assert!(fewer, "no layer left out a token under the mask");
    // It is less work, and the processor does the same.
    let (source, plain) = routed(None, |_, x| x < 8);
    let pipeline = load(source);
    let flops = |request: &Request| block_on(pipeline.prepare(request)).unwrap().flops_per_step();
    assert!(flops(&request) < flops(&plain));
    let (source, _) = routed(None, |_, _| true);
    let processor = Processor::new(ProcessorOptions::default()).unwrap().into();
    let same = run_on(&processor, source, &request);
    let off = relative_l2(same.latents.last().unwrap().f32(), outcome.latents.last().unwrap().f32());
    assert!(off < STEP_TOLERANCE, "{off:.1e}");
}

/// Outside the mask and its halo the pictures are the given one, to the bit; under it they are near to those that are
/// decoded whole. The loop is the same.
#[test]
fn what_is_decoded_of_masked_pictures_follows_the_mask() {
    let folder = golden("pictured/blend_dpm");
    let pipeline = load(Source::Folder(folder.join("model")));
    let plain = request(&folder, Given::Needed);
    let Size { width, height } = plain.size.unwrap_or(Size::new(16, 24));
    let marked = |at: usize| (2..6).contains(&(at % width)) && (4..10).contains(&(at / width));
    let mask = (0..width * height).map(|at| f32::from(u8::from(marked(at)))).collect();
    let mask = Some(Tensor::new(&[height, width], mask).unwrap());
    let drawn = |masked: &str, given: Request| {
        let mut request = Request { mask: mask.clone(), count: Some(2), init_latents: None, ..given };
        request.compression.masked = Some(masked.parse().unwrap());
        block_on(pipeline.generate(&request)).unwrap()
    };
    let (part, whole) = (drawn("every=1,decode=1", plain.clone()), drawn("every=1,decode=whole", plain.clone()));
    assert_eq!((part.0.shape.as_slice(), part.len()), (&[2, 3, height, width][..], 2));
    let image = plain.image.as_ref().unwrap().f32();
    let (mut off, mut all) = (0.0, 0.0);
    for (index, (found, expected)) in part.0.f32().iter().zip(whole.0.f32()).enumerate() {
        let at = index % (width * height);
        if marked(at) {
            off += f64::from(found - expected).powi(2);
            all += f64::from(*expected).powi(2);
        } else if at % width >= 8 || at / width >= 12 {
            // Two pixels are a latent pixel.
            assert_eq!(*found, image[index % image.len()], "pixel {at}");
        }
    }
    let off = (off / all).sqrt();
    assert!((1e-6..0.2).contains(&off), "{off:.4}");

    // Without the picture there is nothing to take the rest from.
    let latents = Tensor::new(&[1, 4, 12, 8], (0..384).map(|i| (i as f32).sin()).collect()).unwrap();
    let known = Request { image: None, image_latents: Some(latents), ..plain };
    assert_eq!(drawn("every=1,decode=1", known.clone()), drawn("every=1,decode=whole", known));
}

/// What masks there are: nothing, a pixel, all but a pixel, along a border, two corners.
#[test]
fn masks_of_every_form_are_drawn_and_the_rest_stays() {
    let folder = golden("pictured/blend_dpm");
    let pipeline = load(Source::Folder(folder.join("model")));
    let plain = request(&folder, Given::Needed);
    let Size { width, height } = Size::new(16, 24);
    for (name, marked) in [
        ("nothing", (|_, _| false) as fn(usize, usize) -> bool),
        ("all", |_, _| true),
        ("a pixel", |x, y| (x, y) == (9, 13)),
        ("all but a pixel", |x, y| (x, y) != (9, 13)),
        ("the left border", |x, _| x == 0),
        ("the lower border", |_, y| y == 23),
        ("two corners", |x, y| (x < 2 && y < 2) || (x > 13 && y > 21)),
    ] {
        let mask = (0..width * height).map(|at| f32::from(u8::from(marked(at % width, at / width)))).collect();
        let mut request = Request { mask: Some(Tensor::new(&[height, width], mask).unwrap()), ..plain.clone() };
        request.compression.masked = Some("every=2,around=0,decode=0".parse().unwrap());
        let pictures = block_on(pipeline.generate(&request)).unwrap();
        let image = request.image.as_ref().unwrap().f32();
        let kept =
            |at: usize| (0..3).all(|c| pictures.0.f32()[c * width * height + at] == image[c * width * height + at]);
        let count = (0..width * height).filter(|&at| kept(at)).count();
        // In whole latent pixels, of two pixels each way; where most is drawn, all is decoded.
        let expected = match name {
            "nothing" => 384,
            "all" | "all but a pixel" => 0,
            "a pixel" => 380,
            "the left border" => 384 - 48,
            "the lower border" => 384 - 32,
            _ => 376,
        };
        // A decoded pixel may have the picture's value by chance.
        assert!(
            (expected..=expected + 4).contains(&count),
            "{name}: {count} pixels are the picture's, {expected} should be"
        );
    }
}

#[test]
fn masked_compute_is_refused_where_nothing_is_known() {
    let folder = golden("pictured/change_dpm");
    let pipeline = load(Source::Folder(folder.join("model")));
    let mut request = request(&folder, Given::Needed);
    request.compression.masked = Some(MaskedCompute::default());
    let error = block_on(pipeline.prepare(&request)).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("needs a picture with a mask"), "{error}");
}
