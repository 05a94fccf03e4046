//! What a caller or a folder may get wrong: absurd sizes, numbers that are not finite, steps that were left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::pipeline::{load, read_folder};
use common::{device, golden};
use foveate::compress::{AnyPolicy, BlockInput, BlockRows, Choice, Compaction, Policy, PolicyKind, RunAt, StepAt};
use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::graph::{Element, Graph};
use foveate::low_level::kernels::ReadRows;
use foveate::low_level::tensor::Data;
use foveate::{Embeds, Error, Gpu, LoadOptions, Pipeline, Refusal, Request, Size, Source, Tensor};
use pollster::block_on;

/// The golden's model with some text of a config replaced.
fn altered(name: &str, file: &str, from: &str, to: &str) -> Source {
    let mut files = read_folder(&golden(name).join("model"));
    let text = String::from_utf8(files[file].clone()).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    files.insert(file.to_owned(), text.replace(from, to).into_bytes());
    Source::Memory(files.into())
}

fn dit() -> Pipeline {
    load(Source::Folder(golden("dit_ddim").join("model")))
}

/// The error of a request, which must come before anything is computed.
fn refused(pipe: &Pipeline, request: &Request) -> Error {
    let clock = Instant::now();
    let error = pipe.start(request).unwrap_err();
    let spent = clock.elapsed();
    assert!(spent < Duration::from_secs(10), "{error}: after {spent:?}");
    assert!(error.chain().len() == 1, "{error:?}");
    error
}

#[test]
fn absurd_requests_are_refused_before_anything_is_computed() {
    let pipe = dit();
    let request = || Request { steps: Some(2), ..Request::class(1) };
    for (request, reason) in [
        (Request { size: Some(Size::new(1 << 40, 1 << 40)), ..request() }, "at most 65536 pixels along a side"),
        (Request { size: Some(Size::square(65_536)), ..request() }, "at most 268435456 pixels are drawn as one batch"),
        (Request { count: Some(1 << 40), ..request() }, "at most 1024 pictures are drawn as one batch"),
        (Request { count: Some(usize::MAX), ..request() }, "at most 1024 pictures are drawn as one batch"),
        (Request { max_length: Some(1 << 45), ..request() }, "at most 65536 tokens of a prompt"),
    ] {
        let error = refused(&pipe, &request);
        assert!(matches!(error, Error::Refused(Refusal::TooLarge { .. })), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    for latents in [vec![1, 4, 1 << 40, 1 << 40], vec![1 << 40, 4, 1 << 40, 1], vec![usize::MAX; 4]] {
        let latents = Tensor { shape: latents, data: Data::F32(vec![0.0; 16]) };
        let error = refused(&pipe, &Request { init_latents: Some(latents), ..request() });
        assert!(error.is_usage() && error.to_string().contains("16 numbers cannot fill the shape"), "{error}");
    }
    // As many steps as were trained, with noise for each: more than this computer should hold.
    let noisy = Request {
        steps: Some(1000),
        count: Some(1000),
        size: Some(Size::square(64)),
        scheduler: Some("ddpm".into()),
        ..request()
    };
    let error = refused(&pipe, &noisy).to_string();
    assert!(error.contains("the noise of every step [999, 1000, 4, 32, 32]"), "{error}");
}

#[test]
fn a_picture_that_the_device_cannot_draw_is_refused_by_the_limit() {
    let pipe = load(Source::Folder(golden("pixart_alpha").join("model")));
    let asked = |side| Request { size: Some(Size::square(side)), steps: Some(2), ..Request::prompt("a fox") };
    let error = refused(&pipe, &asked(16_384));
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn absurd_configs_are_refused_by_name() {
    let open = |source| block_on(Pipeline::load(device(), source, LoadOptions::default(), |_| {}));
    for (name, from, to, reason) in [
        ("dit_ddim", "\"out_channels\": 8", "\"out_channels\": 18446744073709551615", "out_channels = "),
        ("dit_ddim", "\"patch_size\": 2", "\"patch_size\": 16777216", "smaller than patch_size"),
        ("pixart_alpha", "\"interpolation_scale\": null", "\"interpolation_scale\": 0", "interpolation_scale = 0"),
        ("pixart_alpha", "\"norm_eps\": 1e-06", "\"norm_eps\": -0.5", "norm_eps = -0.5: must be a number above zero"),
    ] {
        let error = open(altered(name, "transformer/config.json", from, to)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    for (from, to, reason) in [
        ("\"layer_norm_epsilon\": 1e-06", "\"layer_norm_epsilon\": -1", "layer_norm_epsilon = -1"),
        ("_num_buckets\": 32", "_num_buckets\": 1", "relative_attention_num_buckets = 1"),
        ("_max_distance\": 128", "_max_distance\": 8", "relative_attention_max_distance = 8"),
    ] {
        let error = open(altered("pixart_alpha", "text_encoder/config.json", from, to)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }

    // A trained size beyond any picture: the model opens, and another size may be asked for.
    let side =
        |json: &str| json.split("\"sample_size\": ").nth(1).unwrap().split([',', '\n']).next().unwrap().to_owned();
    let config = std::fs::read_to_string(golden("dit_ddim").join("model/transformer/config.json")).unwrap();
    let from = format!("\"sample_size\": {}", side(&config));
    let pipe = open(altered("dit_ddim", "transformer/config.json", &from, "\"sample_size\": 1048576")).unwrap();
    let error = refused(&pipe, &Request::class(1)).to_string();
    assert!(error.contains("the model's own size of ") && error.contains("at most 65536 pixels along"), "{error}");
}

#[test]
fn what_is_not_finite_is_no_picture() {
    let pipes = [dit(), load(Source::Folder(golden("pixart_alpha").join("model")))];
    for (pipe, request) in pipes.iter().zip([Request::class(1), Request::prompt("a fox")]) {
        for guidance in [1e38, 3e38] {
            let run = pipe.start(&Request { steps: Some(3), guidance: Some(guidance), ..request.clone() }).unwrap();
            let error = block_on(run.complete()).unwrap_err();
            assert!(matches!(error, Error::NotFinite { .. }) && !error.is_usage(), "{error}");
            let told = format!(": a guidance of {guidance:?} is likely too large");
            assert!(error.to_string().ends_with(&told), "{error}");
        }
        for guidance in [f32::NAN, f32::INFINITY] {
            let error = refused(pipe, &Request { guidance: Some(guidance), ..request.clone() });
            assert!(error.is_usage() && error.to_string() == "the guidance is no number", "{error}");
        }
    }
    let nan = Tensor::new(&[1, 4, 8, 8], vec![f32::NAN; 256]).unwrap();
    let error = refused(&pipes[0], &Request { init_latents: Some(nan), ..Request::class(1) });
    assert!(error.is_usage() && error.to_string().contains("init_latents: number 0 is NaN"), "{error}");

    // A host that keeps its picture on the device may ask.
    let request = Request { steps: Some(3), ..Request::class(1) };
    for (guidance, sound) in [(4.0, true), (1e38, false)] {
        let mut run = pipes[0].start(&Request { guidance: Some(guidance), ..request.clone() }).unwrap();
        common::pipeline::take(&mut run, 3);
        assert_eq!(block_on(run.check()).is_ok(), sound);
    }
}

/// A norm of it is infinite, and what is divided by that is zero: a picture of one colour, and no number of it is odd.
#[test]
fn what_is_beyond_all_reason_is_no_picture() {
    let processor = Processor::new(ProcessorOptions::default()).unwrap();
    for device in [foveate::Device::from(processor), device().clone()] {
        for (name, request) in [("dit_ddim", Request::class(1)), ("pixart_alpha", Request::prompt("a fox"))] {
            let source = Source::Folder(golden(name).join("model"));
            let pipe = block_on(Pipeline::load(&device, source, LoadOptions::default(), |_| {})).unwrap();
            for guidance in [1e12, 1e20, 1e30] {
                let request = Request { steps: Some(3), guidance: Some(guidance), ..request.clone() };
                let error = block_on(pipe.generate(&request)).unwrap_err();
                let told = error.to_string();
                assert!(matches!(error, Error::NotFinite { .. }) && told.contains("the latents are "), "{told}");
                assert!(told.ends_with(&format!("a guidance of {guidance:?} is likely too large")), "{told}");
            }
        }
    }
    let huge = |shape: &[usize]| Tensor::new(shape, vec![1e30; shape.iter().product()]).unwrap();
    let embeds = Embeds { embeds: huge(&[1, 2, 32]), mask: vec![1; 2], negative: None };
    for (tensor, request) in [
        ("init_latents", Request { init_latents: Some(huge(&[1, 4, 8, 8])), ..Request::class(1) }),
        ("image_latents", Request { image_latents: Some(huge(&[1, 4, 8, 8])), ..Request::class(1) }),
        ("prompt_embeds", Request { prompt_embeds: Some(embeds), ..Request::default() }),
    ] {
        let error = refused(&dit(), &request);
        assert!(error.is_usage(), "{error:?}");
        assert_eq!(error.to_string(), format!("{tensor}: number 0 is 1e30, beyond 1e9"));
    }
}

#[test]
fn steps_that_were_left_out_or_taken_twice_are_no_picture() {
    let pipe = dit();
    let request = Request { steps: Some(3), ..Request::class(1) };
    let told = |error: Error, reason: &str| {
        assert!(matches!(error, Error::Steps(_)) && error.to_string().contains(reason), "{error}");
    };

    let run = pipe.start(&request).unwrap();
    told(block_on(run.finish()).unwrap_err(), "only 0 of 3 steps were taken");

    // All are taken and none is encoded.
    let mut run = pipe.start(&request).unwrap();
    while run.next_step().is_some() {}
    told(block_on(run.decode()).unwrap_err(), "only 0 of 3 steps were encoded");
    told(block_on(run.texture()).unwrap_err(), "only 0 of 3 steps were encoded");
    told(block_on(run.finish()).unwrap_err(), "only 0 of 3 steps were encoded");

    // One is encoded twice, one is skipped.
    let gpu = common::gpu();
    let mut run = pipe.start(&request).unwrap();
    let mut encoder = gpu.encoder();
    let step = run.next_step().unwrap();
    step.encode(&mut encoder).unwrap();
    told(step.encode(&mut encoder).unwrap_err(), "step 1 of 3 was encoded already");
    told(step.run().unwrap_err(), "step 1 of 3 was encoded already");
    run.next_step().unwrap();
    told(
        run.next_step().unwrap().encode(&mut encoder).unwrap_err(),
        "step 3 of 3 follows step 2, which was not encoded",
    );
    told(block_on(run.finish()).unwrap_err(), "only 1 of 3 steps were encoded");

    // All are encoded and none is submitted, then all but the last, then all.
    for submitted in 0..=3 {
        let mut run = pipe.start(&request).unwrap();
        let mut index = 0;
        while let Some(step) = run.next_step() {
            let mut encoder = gpu.encoder();
            step.encode(&mut encoder).unwrap();
            if index < submitted {
                gpu.submit(encoder);
            }
            index += 1;
        }
        let done = block_on(run.finish());
        match submitted {
            3 => assert_eq!(done.unwrap(), block_on(pipe.generate(&request)).unwrap()),
            _ => told(done.unwrap_err(), &format!("the device came to step {submitted} of 3")),
        }
    }
}

/// A policy of a host whose table names the token behind the last one.
#[derive(Debug)]
struct Beyond;

impl Policy for Beyond {
    type Step = ();

    fn name(&self) -> &str {
        "beyond"
    }

    fn step(&self, _at: StepAt) {}

    fn tables(&self, RunAt { grid, samples, .. }: RunAt) -> foveate::Result<Vec<(String, Tensor)>> {
        let tokens = grid.tokens();
        let index = vec![tokens as u32; samples * tokens];
        Ok(vec![("beyond".into(), Tensor::indices(&[samples, tokens, 1], index)?)])
    }

    fn block(&self, _step: &(), graph: &mut Graph, at: BlockInput) -> foveate::Result<BlockRows> {
        let samples = graph.shape(at.stream)[0];
        let index = graph.stored("beyond", &[samples, at.grid.tokens(), 1], Element::U32);
        let read = ReadRows::Map { index, weight: None };
        Ok(BlockRows { mlp: Compaction { read, ..Compaction::default() }, ..BlockRows::default() })
    }
}

impl PolicyKind for Beyond {
    fn name(&self) -> &str {
        "beyond"
    }

    fn summary(&self) -> &str {
        "a mistake"
    }

    fn policy(&self, _choice: Choice<'_>) -> foveate::Result<AnyPolicy> {
        Ok(AnyPolicy::new(Beyond))
    }
}

/// On the processor it would end the process; on a GPU it would give a picture of something.
#[test]
fn a_table_of_a_hosts_policy_is_held_against_the_tokens() {
    let mut options = LoadOptions::default();
    options.registry.policies.add(Beyond);
    let processor = Processor::new(ProcessorOptions::default()).unwrap();
    for device in [foveate::Device::from(processor), device().clone()] {
        let source = Source::Folder(golden("dit_ddim").join("model"));
        let pipe = block_on(Pipeline::load(device, source, options.clone(), |_| {})).unwrap();
        let compression = foveate::Compression::policy("beyond");
        let error = pipe.start(&Request { steps: Some(1), compression, ..Request::class(1) }).unwrap_err();
        let tokens = pipe.start(&Request { steps: Some(1), ..Request::class(1) }).unwrap().grid().tokens();
        let told = format!("tensor beyond: has the index {tokens}; norm reads indices below {tokens}");
        assert_eq!(error.to_string(), told);
    }
}

/// Everything that a request may get wrong is a refusal that a program can match.
#[test]
fn refusals_are_values() {
    let pipe = load(Source::Folder(golden("pixart_alpha").join("model")));
    let compressed = |compression| Request { steps: Some(1), compression, ..Request::prompt("a fox") };
    let policy = foveate::Compression::policy;
    let cached = |cache: &str| foveate::Compression { cache: Some(cache.parse().unwrap()), ..policy("dense") };
    let refused = |request: &Request| match pipe.start(request).unwrap_err() {
        Error::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let asked = || Request::prompt("a fox");
    for (request, expected) in [
        (Request { steps: Some(0), ..asked() }, "BadSteps"),
        (Request { steps: Some(200_000), ..asked() }, "BadSteps"),
        (Request { size: Some(Size::new(17, 16)), ..asked() }, "IndivisibleSize"),
        (Request { count: Some(0), ..asked() }, "NoPicture"),
        (Request { guidance: Some(f32::NAN), ..asked() }, "BadGuidance"),
        (Request { scheduler: Some("heun".into()), ..asked() }, "UnknownScheduler"),
        (Request { max_length: Some(0), ..asked() }, "Untokenisable"),
        (compressed(policy("tome").with("stride", 1)), "BadParameter"),
        (compressed(policy("tome").with("stride", "9x9")), "BadGrid"),
        (compressed(policy("kv").with("layers", "14-27")), "BadParameter"),
        (compressed(policy("kv").with("stride", 99)), "BadParameter"),
        (compressed(policy("gzip")), "UnknownPolicy"),
        (compressed(cached("every=2,first=9,last=9")), "BadStepCache"),
        (Request { init_latents: Some(Tensor::new(&[1, 2], vec![0.0; 2]).unwrap()), ..asked() }, "WrongShape"),
    ] {
        let refusal = refused(&request);
        assert!(format!("{refusal:?}").starts_with(expected), "{refusal:?}");
    }
}

/// A device that this program opened for itself, with limits of its own. Its error handler fails the test.
fn host(limits: wgpu::Limits) -> (wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = block_on(instance.request_adapter(&Default::default())).unwrap();
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = block_on(adapter.request_device(&descriptor)).unwrap();
    (adapter, device, queue)
}

fn load_on(gpu: &Gpu) -> foveate::Result<Pipeline> {
    let source = Source::Folder(golden("dit_ddim").join("model"));
    block_on(Pipeline::load(gpu, source, LoadOptions::default(), |_| {}))
}

#[test]
fn a_queue_of_another_device_is_refused() {
    let (adapter, device, queue) = host(wgpu::Limits::default());
    let (_, _, other) = host(wgpu::Limits::default());
    let error = Gpu::from_wgpu(&adapter, device.clone(), other).unwrap_err();
    assert!(matches!(error, Error::NotThisDevice { .. }), "{error}");
    assert_eq!(error.to_string(), "the queue belongs to another device");
    Gpu::from_wgpu(&adapter, device, queue).unwrap();
}

#[test]
fn the_loss_of_a_borrowed_device_is_told() {
    let lost = |error: Error| assert!(matches!(error.root(), Error::DeviceLost(_)), "{error}");
    let (adapter, device, queue) = host(wgpu::Limits::default());
    let gpu = Gpu::from_wgpu(&adapter, device.clone(), queue.clone()).unwrap();
    let pipe = load_on(&gpu).unwrap();
    let request = Request { steps: Some(2), ..Request::class(1) };
    let mut run = pipe.start(&request).unwrap();
    common::pipeline::take(&mut run, 1);
    device.destroy();
    lost(block_on(gpu.wait()).unwrap_err());
    lost(gpu.check().unwrap_err());
    lost(pipe.start(&request).unwrap_err());
    lost(run.next_step().unwrap().run().unwrap_err());
    lost(block_on(run.decode()).unwrap_err());
    lost(load_on(&gpu).unwrap_err());
    lost(block_on(gpu.lost()));
    lost(Gpu::from_wgpu(&adapter, device, queue).unwrap_err());
}

#[test]
fn small_limits_of_a_host_are_refused_by_name() {
    let few = wgpu::Limits { max_compute_workgroups_per_dimension: 8, ..wgpu::Limits::default() };
    let (adapter, device, queue) = host(few);
    let pipe = load_on(&Gpu::from_wgpu(&adapter, device, queue).unwrap()).unwrap();
    let error = pipe.start(&Request { size: Some(Size::square(512)), ..Request::class(1) }).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, Error::Limit { .. }) && told.contains("max_compute_workgroups_per_dimension"), "{told}");

    let small = wgpu::Limits { max_texture_dimension_2d: 32, max_texture_dimension_1d: 32, ..wgpu::Limits::default() };
    let (adapter, device, queue) = host(small);
    let pipe = load_on(&Gpu::from_wgpu(&adapter, device, queue).unwrap()).unwrap();
    let request = Request { size: Some(Size::new(64, 32)), steps: Some(1), ..Request::class(1) };
    let mut run = pipe.start(&request).unwrap();
    common::pipeline::take(&mut run, 1);
    let error = block_on(run.texture()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the adapter is too small: a picture of 64x32 needs max_texture_dimension_2d = 64, it has 32"
    );
    assert_eq!(block_on(run.finish()).unwrap().len(), 1);
}
