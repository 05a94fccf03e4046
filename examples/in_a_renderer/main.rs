//! A render loop with a moving scene, in which a picture forms on a quad: each frame gives Foveate what it can spare.
//!
//! ```sh
//! cargo run --release --example in_a_renderer -- [--model DIR] [--width N] [--layers N] [--tokens N] [--steps N]
//!     [--tries N] [--frames FOLDER]
//! ```
//!
//! There is no window: frames go to a texture, 60 a second as far as the device keeps up, and every tenth to FOLDER as
//! a PNG. A program with a window has a surface's texture instead and is else the same. What it draws with is a tiny
//! model or DIR's; with another width or number of layers it has random weights (`model.rs`). At its end it judges
//! itself (`judge.rs`).

mod judge;
mod model;
mod options;
mod renderer;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use foveate::{Error, Gpu, LoadOptions, Pipeline, Request, Result, Run, Viewer, wgpu};
use options::Options;
use pollster::block_on;
use renderer::Renderer;

/// What a frame can spare for the picture. 50 ms suits an adapter that is software. A game on a GPU would give 4 ms.
const BUDGET: Duration = Duration::from_millis(50);

fn main() -> Result<ExitCode> {
    let options = Options::of_program()?;
    let mut renderer = Renderer::new(options.frames.clone())?;
    let gpu = renderer.gpu()?;
    // The library submits text encoders and decoding itself: within the same budget.
    gpu.set_slice(BUDGET);

    // Off the frame, on another thread: files, pipelines, the text.
    let preparing = thread::spawn({
        let (gpu, options) = (gpu.clone(), options.clone());
        move || block_on(prepare(&gpu, &options))
    });
    while !preparing.is_finished() {
        renderer.frame(|_| Ok(()))?;
    }
    let (pipeline, request) = preparing.join().map_err(|_| Error::Usage("preparing has panicked".into()))??;
    println!("prepared within {} frames", renderer.take_frames().len());
    judge::judge(&mut renderer, &gpu, || block_on(begin(&pipeline, &request)), options.tries)
}

/// Loads the model, and draws once: software adapters compile a kernel when it first runs.
async fn prepare(gpu: &Gpu, options: &Options) -> Result<(Pipeline, Request)> {
    let (source, token) = model::open(options)?;
    let pipeline = Pipeline::load(gpu, source, LoadOptions::default(), |_| {}).await?;
    let request = options.request(token);
    let (mut run, viewer) = begin(&pipeline, &request).await?;
    while let Some(step) = run.next_step() {
        step.run_to_end().await?;
    }
    viewer.rgba().await?;
    Ok((pipeline, request))
}

/// A picture that is still to be drawn.
async fn begin(pipeline: &Pipeline, request: &Request) -> Result<(Run, Viewer)> {
    let run = pipeline.prepare(request).await?;
    let viewer = run.viewer().await?;
    Ok((run, viewer))
}

/// Draws a picture within frames: each has the next part of it.
fn draw(renderer: &mut Renderer, run: &mut Run, viewer: &mut Viewer) -> Result<wgpu::Texture> {
    let mut texture = None;
    while texture.is_none() {
        renderer.frame(|encoder| {
            match run.next_step() {
                Some(step) => _ = step.encode_slice(encoder, BUDGET)?,
                None => texture = viewer.encode_slice(encoder, BUDGET)?,
            }
            Ok(())
        })?;
    }
    texture.ok_or_else(|| Error::Usage("no picture".into()))
}
