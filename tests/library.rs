//! Foveate inside another wgpu program: the host's device, the host's encoder, no readback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Tensors, golden, max_error};
use foveate::{Compiling, Gpu, LoadOptions, Pipeline, Request, Source};
use pollster::block_on;

/// A device that this program opened for itself, with the limits every WebGPU device has.
fn host_device() -> (wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = block_on(instance.request_adapter(&Default::default())).unwrap();
    let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    (adapter, device, queue)
}

#[test]
fn a_host_encodes_every_step_into_one_encoder_and_shows_the_texture() {
    let (adapter, device, queue) = host_device();
    let gpu = Gpu::from_wgpu(&adapter, device.clone(), queue.clone()).unwrap();
    let source = Source::Folder(golden("dit_ddim").join("model"));
    let pipe = block_on(Pipeline::load(&gpu, source, LoadOptions::default(), |_| {})).unwrap();
    let json = common::json(&golden("dit_ddim").join("request.json"));
    let request = Request {
        class: json["class"].as_u64().map(|class| class as u32),
        steps: json["steps"].as_u64().map(|steps| steps as usize),
        guidance: json["guidance"].as_f64().map(|guidance| guidance as f32),
        seed: json["seed"].as_u64().unwrap(),
        ..Default::default()
    };

    let mut run = pipe.start(&request).unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    while let Some(step) = run.next_step() {
        step.encode(&mut encoder).unwrap();
    }
    queue.submit([encoder.finish()]);
    let texture = block_on(run.texture()).unwrap();
    let pictures = block_on(run.finish()).unwrap();

    let expected = Tensors::read(&golden("dit_ddim").join("expected.safetensors"));
    let off = max_error(pictures.planes(0).unwrap().f32(), expected.get("image").f32());
    assert!(off <= 2e-3, "off by {off:.1e}");

    let shown = common::texture::read(&gpu, &texture);
    let rgb = pictures.rgb(0).unwrap();
    assert_eq!((texture.width(), texture.height()), rgb.dimensions());
    let right = rgb.pixels().zip(shown.chunks_exact(4)).all(|(a, b)| a.0 == b[..3] && b[3] == 255);
    assert!(right, "the texture is not the picture");

    // The short form draws the same, to the byte; another seed does not.
    let again = block_on(pipe.generate(&request)).unwrap();
    assert_eq!(again, pictures);
    let other = block_on(pipe.generate(&Request { seed: request.seed + 1, ..request })).unwrap();
    assert_ne!(other, pictures);
}

/// Natively the library's futures may move between threads, as an async runtime's spawn asks.
#[test]
fn futures_can_be_spawned() {
    fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
        std::thread::spawn(move || block_on(future)).join().unwrap()
    }
    let source = Source::Folder(golden("dit_ddim").join("model"));
    let pipe = spawn(async {
        let gpu = Gpu::request(Default::default()).await.unwrap();
        Arc::new(Pipeline::load(&gpu, source, LoadOptions::default(), |_| {}).await.unwrap())
    });
    let request = Request { steps: Some(2), guidance: Some(1.0), ..Request::class(1) };
    let (elsewhere, asked) = (pipe.clone(), request.clone());
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let run =
        spawn(
            async move { elsewhere.prepare_with(&asked, |at: Compiling| tell.lock().unwrap().push(at)).await.unwrap() },
        );
    let told = told.lock().unwrap();
    let (first, last) = (told.first().unwrap(), told.last().unwrap());
    assert!(told.len() > 2 && first.done == 0 && last.done == last.total, "{told:?}");
    assert!(told.is_sorted_by(|one, two| one.done < two.done && two.done <= one.done + 8), "{told:?}");
    assert!(told.iter().all(|at| at.total == last.total), "{told:?}");
    let stopped = block_on(pipe.prepare_with(&request, |_| Err(foveate::Error::Cancelled)));
    assert!(matches!(stopped.unwrap_err(), foveate::Error::Cancelled));
    let pictures = spawn(run.complete()).unwrap();
    assert_eq!(pictures, block_on(pipe.generate(&request)).unwrap());
}
