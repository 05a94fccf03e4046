//! Several runs at once on one set of weights, what they hold, and what is left when they end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{golden, gpu};
use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::{Compression, Device, Error, Gpu, GpuOptions, LoadOptions, Pipeline, Request, Run, Source};
use pollster::block_on;

fn load(device: impl Into<Device>) -> foveate::Result<Pipeline> {
    let source = Source::Folder(golden("routed/pixart_alpha_block").join("model"));
    block_on(Pipeline::load(device, source, LoadOptions::default(), |_| {}))
}

fn request(prompt: &str, policy: &str) -> Request {
    let compression = Compression { policy: Some(policy.into()), ..Default::default() };
    Request { steps: Some(3), compression, ..Request::prompt(prompt) }
}

#[test]
fn runs_share_weights_and_do_not_meet() {
    let gpu = gpu().with_finest_portions();
    let pipe = load(&gpu).unwrap();
    let requests = [request("a fox", "dense"), request("a boat", "diffcr"), request("a fox at night", "tome")];
    let alone = requests.each_ref().map(|request| block_on(pipe.generate(request)).unwrap());
    let mut runs: Vec<Run> = requests.iter().map(|request| pipe.start(request).unwrap()).collect();
    // A slice of each in turn, so that steps of all are under way at once.
    let mut left = true;
    while std::mem::take(&mut left) {
        let mut encoder = gpu.encoder();
        for (run, budget) in runs.iter_mut().zip([300, 500, 700]) {
            if let Some(step) = run.next_step() {
                step.encode_slice(&mut encoder, Duration::from_micros(budget)).unwrap();
                left = true;
            }
        }
        gpu.submit(encoder);
    }
    for (run, alone) in runs.into_iter().zip(alone) {
        assert_eq!(block_on(run.finish()).unwrap(), alone);
    }
}

/// Bytes that the driver's allocator says are in use.
fn allocated(gpu: &Gpu) -> Option<u64> {
    // What was dropped goes when the device is asked next.
    block_on(gpu.wait()).unwrap();
    gpu.device().generate_allocator_report().map(|report| report.total_allocated_bytes)
}

#[test]
fn a_run_that_is_dropped_gives_its_memory_back() {
    let gpu = block_on(Gpu::request(GpuOptions::default())).unwrap();
    assert_eq!(gpu.memory().current, 0);
    let pipe = load(&gpu).unwrap();
    let draw = || {
        let mut run = pipe.start(&request("a fox", "diffcr")).unwrap();
        let viewer = block_on(run.viewer()).unwrap();
        common::pipeline::take(&mut run, 2);
        block_on(viewer.rgba()).unwrap();
        (gpu.memory().current, allocated(&gpu), run, viewer)
    };
    drop(draw()); // what is kept for later runs, pipelines and timers, is there now
    let (weights, before) = (gpu.memory(), allocated(&gpu));
    let (most, driver_most, run, viewer) = draw();
    assert!(most > weights.current && weights.peak >= weights.current);
    drop((run, viewer));
    assert_eq!(gpu.memory().current, weights.current);
    // The driver's own account, where it has one, says the same.
    if let (Some(before), Some(most), Some(after)) = (before, driver_most, allocated(&gpu)) {
        assert!(most > before && after == before, "{before} bytes before, {most} with a run, {after} after it");
    }
    drop(pipe);
    assert_eq!(gpu.memory().current, 0);
}

#[test]
fn memory_is_bounded_by_the_caller() {
    let exceeded = |error: Error, limit: u64| {
        let Error::MemoryLimit { needed, used, limit: told, .. } = error.root() else { panic!("{error}") };
        assert!(*told == limit && used + needed > limit, "{error}");
    };
    let gpu = block_on(Gpu::request(GpuOptions { max_memory: Some(10_000), ..Default::default() })).unwrap();
    exceeded(load(&gpu).unwrap_err(), 10_000);
    assert_eq!(gpu.memory().current, 0, "what was loaded is gone");

    // Enough for the weights, too little for a run, then enough for a run.
    gpu.set_max_memory(None);
    let pipe = load(&gpu).unwrap();
    let weights = gpu.memory().current;
    gpu.set_max_memory(Some(weights + 20_000));
    exceeded(pipe.start(&request("a fox", "dense")).unwrap_err(), weights + 20_000);
    assert_eq!(gpu.memory().current, weights);
    gpu.set_max_memory(Some(1 << 30));
    block_on(pipe.generate(&request("a fox", "dense"))).unwrap();
    assert!(gpu.memory().peak > weights + 20_000);

    let few = ProcessorOptions { max_memory: Some(10_000), ..Default::default() };
    let processor: Device = Processor::new(few).unwrap().into();
    exceeded(load(&processor).unwrap_err(), 10_000);
    assert_eq!(processor.memory().limit, Some(10_000));
}
