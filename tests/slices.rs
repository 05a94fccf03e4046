//! Steps, text encoders and decoding in slices: the same bytes for any budgets, and what may be done in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::pipeline::{Given, folders, request};
use common::{golden, gpu};
use foveate::low_level::pipeline::LATENTS;
use foveate::{Error, Gpu, GpuOptions, LoadOptions, Pipeline, Request, Run, Size, Source};
use pollster::block_on;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn load(gpu: &Gpu, folder: &Path) -> Pipeline {
    let source = Source::Folder(folder.join("model"));
    block_on(Pipeline::load(gpu, source, LoadOptions::default(), |_| {})).unwrap()
}

/// From a microsecond to a hundredth of a second, all magnitudes alike.
fn budget(rng: &mut StdRng) -> Duration {
    Duration::from_secs_f64(10f64.powf(rng.random_range(-6.0..-2.0)))
}

/// Takes all steps in frames of any budgets; how many there were.
fn frames(gpu: &Gpu, run: &mut Run, mut budget: impl FnMut() -> Duration) -> usize {
    let mut frames = 0;
    while let Some(step) = run.next_step() {
        let mut encoder = gpu.encoder();
        step.encode_slice(&mut encoder, budget()).unwrap();
        gpu.submit(encoder);
        frames += 1;
    }
    frames
}

/// Models of every family, and every policy: routing, merging, pooling, caching.
#[test]
fn any_slicing_gives_the_same_bytes() {
    let plain = ["dit_ddim", "dit_sharded_f16", "pixart_alpha", "pixart_alpha_sde", "pixart_sigma"].map(golden);
    let policies = ["routed", "merged", "kv", "cached"].into_iter().flat_map(|below| folders("", below));
    let mut rng = StdRng::seed_from_u64(14);
    let finest = gpu().with_finest_portions();
    for folder in plain.into_iter().chain(policies) {
        let mut request = request(&folder, Given::Needed);
        request.steps = request.steps.map(|steps| steps.min(4));
        let whole = block_on(async {
            let mut run = load(gpu(), &folder).prepare(&request).await.unwrap();
            let mut encoder = gpu().encoder();
            while let Some(step) = run.next_step() {
                step.encode(&mut encoder).unwrap();
            }
            gpu().submit(encoder);
            (run.read(LATENTS).await.unwrap(), run.finish().await.unwrap())
        });

        // What the library submits itself, the text encoder and the decoder, is cut up as well.
        finest.set_slice(budget(&mut rng).min(Duration::from_millis(5)));
        let mut run = load(&finest, &folder).start(&request).unwrap();
        // The first frame has nothing to spare, so that a step is cut on the fastest device.
        let mut none = Some(Duration::ZERO);
        let count = frames(&finest, &mut run, || none.take().unwrap_or_else(|| budget(&mut rng)));
        assert!(count > run.steps(), "{}: no step was cut", folder.display());
        let latents = block_on(run.read(LATENTS)).unwrap();
        assert_eq!((latents, block_on(run.finish()).unwrap()), whole, "{}", folder.display());
    }
}

#[test]
fn the_library_cuts_what_it_submits_itself() {
    let (folder, request) = (golden("pixart_alpha"), Request { steps: Some(3), ..Request::prompt("a fox") });
    let whole = block_on(load(gpu(), &folder).generate(&request)).unwrap();
    let finest = gpu().with_finest_portions();
    assert_eq!(finest.slice(), Duration::from_millis(100));
    finest.set_slice(Duration::from_micros(500));
    let pipe = load(&finest, &folder);
    assert_eq!(block_on(pipe.generate(&request)).unwrap(), whole);
    // Without waiting in between.
    let mut run = pipe.start(&request).unwrap();
    common::pipeline::take(&mut run, 3);
    assert_eq!(block_on(run.finish()).unwrap(), whole);
}

#[test]
fn a_picture_forms_in_slices_while_steps_go_on() {
    let finest = gpu().with_finest_portions();
    let pipe = load(&finest, &golden("pixart_alpha"));
    let mut run = pipe.start(&Request { steps: Some(4), ..Request::prompt("a fox") }).unwrap();
    common::pipeline::take(&mut run, 2);
    let mut viewer = block_on(run.viewer()).unwrap();
    let expected = block_on(viewer.rgba()).unwrap();

    let mut frames = 0;
    let texture = loop {
        let mut encoder = finest.encoder();
        let texture = viewer.encode_slice(&mut encoder, Duration::from_micros(300)).unwrap();
        // The first part of the picture has taken the latents; these change them.
        if let Some(step) = run.next_step() {
            step.encode_slice(&mut encoder, Duration::from_millis(3)).unwrap();
        }
        finest.submit(encoder);
        frames += 1;
        if let Some(texture) = texture {
            break texture;
        }
        let refused = [viewer.texture().map(drop).unwrap_err(), block_on(viewer.rgba()).map(drop).unwrap_err()];
        assert!(refused.iter().all(|error| matches!(error, Error::Steps(_))), "a picture over a half encoded one");
    };
    assert!(frames > 3, "{frames} frames");
    assert!(run.next_step().is_none(), "the steps were done before the picture");
    assert!(common::texture::read(&finest, &texture) == expected, "the picture is of later latents");
    assert!(block_on(viewer.rgba()).unwrap() != expected);
}

#[test]
fn a_step_under_way_is_neither_left_nor_taken_twice() {
    let told = |error: Error, reason: &str| {
        assert!(matches!(error, Error::Steps(_)) && error.to_string().contains(reason), "{error}");
    };
    let finest = gpu().with_finest_portions();
    let pipe = load(&finest, &golden("dit_ddim"));
    let request = Request { steps: Some(3), ..Request::class(1) };
    let mut run = pipe.start(&request).unwrap();
    // One that was handed out and not run is not in the state.
    run.next_step().unwrap();
    assert_eq!(block_on(run.state()).unwrap().taken, 0);
    let mut run = pipe.start(&request).unwrap();
    let mut encoder = finest.encoder();
    let step = run.next_step().unwrap();
    assert!(!step.encode_slice(&mut encoder, Duration::ZERO).unwrap());
    told(step.run().unwrap_err(), "only a part of step 1 was encoded");
    told(step.encode(&mut encoder).unwrap_err(), "only a part of step 1 was encoded");
    told(block_on(run.state()).unwrap_err(), "only a part of step 1 was encoded");
    told(block_on(run.trace()).unwrap_err(), "only a part of step 1 was encoded");
    assert_eq!(run.next_step().unwrap().index, 0, "it is handed out again");
    assert!(run.next_step().unwrap().encode_slice(&mut encoder, Duration::from_secs(60)).unwrap());
    assert_eq!((run.taken(), run.next_step().unwrap().index), (1, 1));

    // One is left out.
    let step = run.next_step().unwrap();
    assert_eq!(step.index, 2);
    told(step.encode_slice(&mut encoder, Duration::MAX).unwrap_err(), "step 3 of 3 follows step 2");
    finest.submit(encoder);
    told(block_on(run.finish()).unwrap_err(), "only 1 of 3 steps were encoded");

    // The last is not finished.
    let mut run = pipe.start(&request).unwrap();
    common::pipeline::take(&mut run, 2);
    let mut encoder = finest.encoder();
    run.next_step().unwrap().encode_slice(&mut encoder, Duration::ZERO).unwrap();
    finest.submit(encoder);
    told(block_on(run.finish()).unwrap_err(), "only 2 of 3 steps were encoded");

    // Whoever stops waiting for a step has no run any more. The device is busy with another run before it.
    let mut busy = pipe.start(&Request { steps: Some(100), ..request.clone() }).unwrap();
    let mut encoder = finest.encoder();
    while let Some(step) = busy.next_step() {
        step.encode(&mut encoder).unwrap();
    }
    let mut run = pipe.start(&request).unwrap();
    finest.submit(encoder);
    let step = run.next_step().unwrap();
    block_on(async {
        let mut running = std::pin::pin!(step.run_to_end());
        std::future::poll_fn(|context| {
            assert!(running.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    told(run.next_step().unwrap().run().unwrap_err(), "step 1 was not run to its end");
    told(block_on(run.state()).unwrap_err(), "step 1 was not run to its end");
}

/// A host that shows few frames, and asks the device for nothing in between, uses its budget all the same: what is timed
/// is the slice, not the frame.
#[test]
fn a_host_of_few_frames_uses_its_budget() {
    const BUDGET: Duration = Duration::from_millis(10);
    let request = Request { steps: Some(2), size: Some(Size::square(64)), ..Request::prompt("a fox") };
    let count = |between: &dyn Fn(&Gpu)| {
        // Each has to learn for itself how fast the device is.
        let gpu = block_on(Gpu::request(GpuOptions::default())).unwrap();
        let mut run = load(&gpu, &golden("pixart_alpha")).start(&request).unwrap();
        frames(&gpu, &mut run, || {
            between(&gpu);
            BUDGET
        })
    };
    let many = count(&|gpu| block_on(gpu.wait()).unwrap());
    let few = count(&|_| std::thread::sleep(10 * BUDGET));
    assert!(few <= 2 * many, "{few} frames, and {many} of a host that waits for each");
}
