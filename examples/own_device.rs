//! Draws on a device that this program owns, inside its own frames, and keeps the picture on the device as a texture.
//!
//! `cargo run --release --example own_device`

use foveate::{Gpu, LoadOptions, Pipeline, Request, Result, Source, wgpu};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");

fn main() -> Result<()> {
    pollster::block_on(frames())
}

async fn frames() -> Result<()> {
    // What a renderer has already. WebGPU's default limits are enough for Foveate.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&Default::default()).await;
    let adapter = adapter.map_err(|error| foveate::Error::NoAdapter(error.to_string()))?;
    let opened = adapter.request_device(&wgpu::DeviceDescriptor::default()).await;
    let (device, queue) = opened.map_err(|error| foveate::Error::Gpu(error.to_string()))?;

    let gpu = Gpu::from_wgpu(&adapter, device.clone(), queue.clone())?;
    let pipeline = Pipeline::load(&gpu, Source::parse(TINY), LoadOptions::default(), |_| {}).await?;
    let mut run = pipeline.prepare(&Request { steps: Some(8), ..Request::prompt("a blue boat") }).await?;

    let mut frame = 0;
    while let Some(step) = run.next_step() {
        let mut encoder = device.create_command_encoder(&Default::default());
        // … the frame's own passes …
        step.encode(&mut encoder)?; // one denoising step in each frame
        queue.submit([encoder.finish()]);
        frame += 1;
    }
    let texture = run.texture().await?; // nothing is read back
    println!("{} frames, a texture of {}×{}", frame, texture.width(), texture.height());
    Ok(())
}
