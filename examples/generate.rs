//! Draws one picture, with progress.
//!
//! `cargo run --release --example generate -- "a red house" [MODEL] [OUT.png]`

use foveate::{Gpu, LoadOptions, Pipeline, Request, Result, Source};

/// A tiny model with random weights, for trying things out.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let prompt = arguments.next().unwrap_or("a red house".into());
    let model = arguments.next().unwrap_or(TINY.into());
    let out = arguments.next().unwrap_or("generate.png".into());
    pollster::block_on(draw(&prompt, Source::parse(&model), &out))
}

async fn draw(prompt: &str, model: Source, out: &str) -> Result<()> {
    let gpu = Gpu::request(Default::default()).await?;
    let pipeline = Pipeline::load(&gpu, model, LoadOptions::default(), |_| {}).await?;
    let mut run = pipeline.prepare(&Request { seed: 9, ..Request::prompt(prompt) }).await?;
    run.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    while let Some(step) = run.next_step() {
        println!("step {} of {}, {:.1} MFLOP", step.index + 1, step.of, step.flops() as f64 / 1e6);
        step.run()?;
        gpu.wait().await?; // so that "step 3" means that step 2 is done
    }
    run.finish().await?.save(0, out)?;
    println!("{out}");
    Ok(())
}
