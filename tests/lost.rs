//! A device that goes away while it draws: a typed error, and the picture goes on on another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::golden;
use foveate::{Error, Gpu, LoadOptions, Pipeline, Request, Source};
use pollster::block_on;

fn load() -> (Gpu, Pipeline) {
    let gpu = block_on(Gpu::request(Default::default())).unwrap();
    let source = Source::Folder(golden("dit_ddim").join("model"));
    let pipe = block_on(Pipeline::load(&gpu, source, LoadOptions::default(), |_| {})).unwrap();
    (gpu, pipe)
}

fn lost<T: std::fmt::Debug>(result: foveate::Result<T>) {
    let error = result.unwrap_err();
    assert!(matches!(error.root(), Error::DeviceLost(_)), "{error}");
}

#[test]
fn a_run_whose_device_is_lost_goes_on_after_its_last_finished_step() {
    let request = Request { steps: Some(5), scheduler: Some("dpm-solver++".into()), ..Request::class(1) };
    let (_, other_pipe) = load();
    let undisturbed = block_on(other_pipe.generate(&request)).unwrap();

    // After each step the host keeps what it needs to go on. The device goes in the middle of the fourth.
    let (gpu, pipe) = load();
    let mut run = pipe.start(&request).unwrap();
    let mut state = None;
    for _ in 0..3 {
        block_on(run.next_step().unwrap().run_to_end()).unwrap();
        state = Some(block_on(run.state()).unwrap());
    }
    let mut encoder = gpu.encoder();
    run.next_step().unwrap().encode_slice(&mut encoder, Duration::ZERO).unwrap();
    gpu.submit(encoder);
    gpu.device().destroy();

    lost(block_on(gpu.wait()));
    lost(pipe.start(&request));
    lost(block_on(run.decode()));
    lost(block_on(run.viewer()));

    let mut resumed = other_pipe.start(&request).unwrap();
    resumed.resume(&state.unwrap()).unwrap();
    assert_eq!(resumed.taken(), 3);
    assert_eq!(block_on(resumed.complete()).unwrap(), undisturbed);
}

#[test]
fn whoever_waits_for_a_step_hears_of_the_loss() {
    let (gpu, pipe) = load();
    let run = pipe.start(&Request { steps: Some(3), ..Request::class(1) }).unwrap();
    let device = gpu.device().clone();
    let destroy = std::thread::spawn(move || device.destroy());
    let result = block_on(run.complete());
    destroy.join().unwrap();
    // It may have been done before.
    if result.is_err() {
        lost(result);
    }
    lost(block_on(pipe.generate(&Request::class(1))));
}
