//! The engine on the window's own device: both submit to one queue, and the loss of the device is the end of a picture,
//! not of the app. The device is the first adapter's: on most test machines a software one, which the app itself leaves to
//! the window.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{model, origin, settings};
use foveate_desktop::disk::Places;
use foveate_desktop::engine::{Command, Engine, Event, Shared, Stop, Task};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_engine_draws_on_the_windows_device_and_outlives_it() {
    let (_folder, shared, engine) = start();

    let first = drawn(&engine, &shared, 1).expect("the first picture");
    assert_eq!(first.took.device, shared.adapter.get_info().name);
    // The window has it saved.
    std::fs::write(&first.path, &first.png).unwrap();
    assert_eq!(origin(&first.path).request.prompt, "a house");

    // An error that nobody caught fails the picture, not the program.
    let _ = shared.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("impossible"),
        size: u64::MAX - 7,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let failed = drawn(&engine, &shared, 4).unwrap_err();
    assert!(failed.contains("impossible"), "{failed}");

    shared.device.destroy();
    let failed = drawn(&engine, &shared, 2).unwrap_err();
    assert!(failed.contains("device was lost") && failed.contains("another device"), "{failed}");
    let third = drawn(&engine, &shared, 3).expect("the processor takes over");
    assert_eq!(third.took.device, "processor");
    let off = first.picture.iter().zip(third.picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off <= Some(2), "the pictures differ by {off:?} of 255");
}

#[test]
fn a_device_that_is_lost_before_a_model_is_opened_is_replaced() {
    let (_folder, shared, engine) = start();
    shared.device.destroy();
    let lost = opened(&engine).unwrap_err();
    assert!(lost.contains("device was lost") && lost.contains("another device"), "{lost}");
    assert!(opened(&engine).expect("the processor takes over").starts_with("processor"));
}

/// An engine on a device as the window opens it, and the folder that it writes to.
fn start() -> (TempDir, Shared, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let places = Places::below(folder.path().into()).unwrap();
    let shared = shared();
    let engine = Engine::start(Some(shared.clone()), places.folders(), Arc::new(|| {})).unwrap();
    (folder, shared, engine)
}

/// Opens the model; its device, or why that failed.
fn opened(engine: &Engine) -> Result<String, String> {
    let mut settings = settings(model("pixart_alpha"), "", 1);
    settings.choice.adapter = None;
    engine.send(Command::Open(settings.choice, Stop::default()));
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match engine.event() {
            Some(Event::Opened(facts)) => return Ok(facts.device),
            Some(Event::NotOpened(_, trouble)) => return Err(trouble.line()),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("waited in vain for the model");
}

/// Draws a picture while the window shows frames; or why that failed.
fn drawn(engine: &Engine, shared: &Shared, id: u64) -> Result<foveate_desktop::engine::Drawn, String> {
    let mut settings = settings(model("pixart_alpha"), "a house", 2);
    settings.choice.adapter = None;
    let task = Task { id, choice: settings.choice, request: settings.form.request, beginning: None };
    engine.send(Command::Draw(Box::new(task), Stop::default()));
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let frame = shared.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        shared.queue.submit([frame.finish()]);
        match engine.event() {
            Some(Event::Drawn(drawn)) if drawn.task == id => return Ok(*drawn),
            Some(Event::Failed(task, trouble)) if task == id => return Err(trouble.line()),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("waited in vain for picture {id}");
}

/// A device as the window opens it.
fn shared() -> Shared {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY)).into_iter().next();
    let adapter = adapter.expect("no adapter: apt-get install mesa-vulkan-drivers");
    let opened = pollster::block_on(adapter.request_device(&Shared::descriptor(&adapter)));
    let (device, queue) = opened.unwrap();
    Shared::new(adapter, device, queue)
}
