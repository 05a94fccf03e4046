//! A model folder of a stranger: inspected, loaded on the processor, and asked for a tiny picture.

use foveate::low_level::pipeline::{StepSize, TransformerSteps};
use foveate::models::Draws;
use foveate::{Compression, Error, LoadOptions, Model, Pipeline, Request, Result, Size};
use pollster::block_on;

use super::{folder, processor};
use crate::archive::Archive;
use crate::goldens::models;
use crate::outcome;

/// The longest side that is drawn.
const MOST_SIDE: usize = 64;

pub fn run(data: &[u8]) {
    let archive = Archive::parse(data);
    let source = folder::source(&archive, models());
    let dtype = archive.text("dtype").and_then(|name| name.trim().parse().ok());
    let options = LoadOptions { dtype, ..LoadOptions::default() };
    block_on(async {
        let model = match Model::open(source, options).await {
            Ok(model) => model,
            Err(error) => return outcome::failed(&error),
        };
        told("counted", count(&model).await);
        let request = archive.get("request").and_then(|json| serde_json::from_slice(json).ok());
        told("drawn", draw(model, request.unwrap_or_default()).await);
    });
}

fn told(done: &str, result: Result<()>) {
    match result {
        Ok(()) => outcome::reached(done),
        Err(error) => outcome::failed(&error),
    }
}

/// What `inspect` does: one step of every policy at the model's own size.
async fn count(model: &Model) -> Result<()> {
    let habits = model.habits();
    let timesteps = model.scheduler(None).await?.schedule(habits.steps)?.timesteps();
    let transformer = TransformerSteps::open(model).await?;
    let size =
        StepSize { batch: 2, latents: Size::square(transformer.sizes().sample_size), text: habits.prompt_tokens };
    let (tokens, given) = (transformer.grid(size.latents)?.tokens(), transformer.given(size).await?);
    for kind in model.registry().policies.runnable(&transformer.trained) {
        let compression = Compression::policy(kind.name());
        let policy = model.registry().policies.policy(&compression, &transformer.trained, 0, false)?;
        let counted = policy.steps(&timesteps, tokens).distinct.iter().try_for_each(|step| {
            transformer.step(size, &given, step).map(|graph| outcome::reached(kind_of(graph.flops())))
        });
        match counted {
            Err(error) if error.is_usage() => outcome::failed(&error),
            other => other?,
        }
    }
    Ok(())
}

fn kind_of(flops: u64) -> &'static str {
    if flops == 0 { "nothing" } else { "something" }
}

/// Loads the model and draws the smallest picture, in two steps.
async fn draw(model: Model, request: Request) -> Result<()> {
    let parts = model.parts().await?;
    let factor = parts.decoder.factor();
    drop(parts);
    let draws = model.habits().draws;
    let pipeline = Pipeline::from_model(processor(), model, |_| {}).await?;
    let request = Request {
        class: (draws == Draws::Classes).then_some(1),
        negative: request.negative.filter(|_| draws == Draws::Prompts),
        size: Some(Size::square(factor.saturating_mul(4))),
        steps: Some(2),
        count: Some(1),
        max_length: Some(request.max_length.unwrap_or(16).min(64)),
        ..request
    };
    if factor > MOST_SIDE / 4 {
        return pipeline.prepare(&request).await.map(drop);
    }
    match pipeline.generate(&request).await {
        // Wild numbers in the weights.
        Err(Error::NotFinite { .. }) => outcome::reached("not finite"),
        other => drop(other?),
    }
    Ok(())
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (name, files) in models() {
        let archives = folder::seeds(name, files);
        seeds.extend(archives.iter().map(Archive::bytes));
        let asked = Archive::default().with("base", name.as_str()).with("dtype", "int8");
        seeds.push(asked.with("request", r#"{"prompt": "a fox", "seed": 7}"#).bytes());
    }
    seeds
}
