//! A run that goes on elsewhere: after a lost device, in another process. And a viewer, which shows it on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::golden;
use foveate::{Error, Gpu, LoadOptions, Pictures, Pipeline, Refusal, Request, Run, Size, Source};
use pollster::block_on;

/// A scheduler that looks two steps back, and one that draws noise at every step, both on the routed transformer.
fn requests() -> Vec<Request> {
    let scheduler = |name: &str| Request {
        class: Some(7),
        steps: Some(5),
        seed: 3,
        scheduler: Some(name.into()),
        ..Default::default()
    };
    vec![scheduler("dpm-solver++"), scheduler("ddpm")]
}

fn load() -> (Gpu, Pipeline) {
    let gpu = block_on(Gpu::request(Default::default())).unwrap();
    let source = Source::Folder(golden("routed/dit_mlp").join("model"));
    let pipe = block_on(Pipeline::load(&gpu, source, LoadOptions::default(), |_| {})).unwrap();
    (gpu, pipe)
}

fn take(gpu: &Gpu, run: &mut Run, count: usize) {
    for _ in 0..count {
        let step = run.next_step().unwrap();
        let mut encoder = gpu.encoder();
        step.encode(&mut encoder).unwrap();
        gpu.submit(encoder);
    }
}

#[test]
fn a_run_goes_on_on_another_device_to_the_same_bytes() {
    let (gpu, pipe) = load();
    let (other_gpu, other_pipe) = load();
    for request in requests() {
        let undisturbed = block_on(pipe.generate(&request)).unwrap();
        let mut run = pipe.start(&request).unwrap();
        take(&gpu, &mut run, 3);
        let state = block_on(run.state()).unwrap();
        assert_eq!(state.taken, 3);

        let mut resumed = other_pipe.start(&request).unwrap();
        resumed.resume(&state).unwrap();
        assert_eq!(resumed.next_step().unwrap().index, 3);
        resumed.resume(&state).unwrap();
        take(&other_gpu, &mut resumed, 2);
        assert_eq!(block_on(resumed.finish()).unwrap(), undisturbed, "{:?}", request.scheduler);

        // Without the scheduler's history the picture is another: the comparison can fail.
        let mut forgetful = state.clone();
        let latents = forgetful.words.len() / 3;
        forgetful.words[latents..].fill(0);
        if request.scheduler.as_deref() == Some("dpm-solver++") {
            let mut resumed = other_pipe.start(&request).unwrap();
            resumed.resume(&forgetful).unwrap();
            take(&other_gpu, &mut resumed, 2);
            assert_ne!(block_on(resumed.finish()).unwrap(), undisturbed);
        }
    }
}

#[test]
fn a_state_of_another_request_is_refused() {
    let (_, pipe) = load();
    let [request, noisy] = requests().try_into().unwrap();
    let state = block_on(pipe.start(&request).unwrap().state()).unwrap();
    let mut larger = pipe.start(&Request { size: Some(Size::square(32)), ..request.clone() }).unwrap();
    let error = larger.resume(&state).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("another request"), "{error}");
    let mut shorter = pipe.start(&Request { steps: Some(1), ..request.clone() }).unwrap();
    assert!(shorter.resume(&foveate::RunState { taken: 2, ..state.clone() }).is_err());

    // All of them carry as many numbers as the state has: only what was asked differs, or the model.
    let compression = foveate::Compression { ratio: Some(0.5), ..foveate::Compression::policy("mod") };
    let others = [
        Request { seed: 4, ..request.clone() },
        Request { class: Some(8), ..request.clone() },
        Request { steps: Some(6), ..request.clone() },
        Request { guidance: Some(2.0), ..request.clone() },
        Request { scheduler: Some("ddim".into()), ..request.clone() },
        Request { compression, ..request.clone() },
        noisy,
    ];
    for other in others {
        let mut run = pipe.start(&other).unwrap();
        assert_eq!(run.state_bytes(), 4 * state.words.len() as u64, "{other:?}");
        let error = run.resume(&state).unwrap_err();
        assert!(matches!(error, Error::Refused(Refusal::ForeignState)), "{other:?}: {error}");
    }
    let source = Source::Folder(golden("dit_ddim").join("model"));
    let dense = block_on(Pipeline::load(pipe.device(), source, LoadOptions::default(), |_| {})).unwrap();
    let mut run =
        dense.start(&Request { size: Some(pipe.start(&request).unwrap().size()), ..request.clone() }).unwrap();
    assert!(matches!(run.resume(&state).unwrap_err(), Error::Refused(Refusal::ForeignState)));

    // What is only read beside the picture makes no other request of it.
    pipe.start(&Request { traced: true, ..request.clone() }).unwrap().resume(&state).unwrap();
    let json = serde_json::to_string(&state).unwrap();
    pipe.start(&request).unwrap().resume(&serde_json::from_str(&json).unwrap()).unwrap();
}

#[test]
fn a_viewer_shows_what_decoding_gives_at_every_step() {
    let (gpu, pipe) = load();
    let mut run = pipe.start(&requests()[0]).unwrap();
    let viewer = block_on(run.viewer()).unwrap();
    let mut before = Vec::new();
    for _ in 0..3 {
        take(&gpu, &mut run, 1);
        let shown = block_on(viewer.rgba()).unwrap();
        let decoded: Pictures = block_on(run.decode()).unwrap();
        let rgb = decoded.rgb(0).unwrap();
        assert_eq!(Size::new(rgb.width() as usize, rgb.height() as usize), run.size());
        let same = rgb.pixels().zip(shown.chunks_exact(4)).all(|(a, b)| a.0 == b[..3] && b[3] == 255);
        assert!(same && shown != before, "the preview is not the picture");
        before = shown;
    }
    assert!(run.flops_per_step() < run.dense_flops_per_step());
}
