//! FLOPs of one step by policy, counted from the graphs that a run would compile.

use foveate::Model;
use foveate::compress::{AnyPolicy, Compression, PolicySteps, Trained};
use foveate::low_level::pipeline::{StepSize, TransformerSteps};
use foveate::models::Given;
use foveate::{Grid, Result, Size};

/// One denoising step of one picture under guidance, at the trained size.
#[derive(Debug)]
pub struct StepFacts {
    /// The trained latents' side.
    pub sample_size: usize,
    pub grid: Grid,
    /// By policy, dense first; the mean over the pipeline's default steps.
    pub flops: Vec<(String, u64)>,
    /// What the checkpoint holds for policies.
    pub trained: Trained,
}

/// Counts for every policy that the checkpoint can run.
pub async fn count(model: &Model) -> Result<StepFacts> {
    let habits = model.habits();
    let timesteps = model.schedule(model.scheduler(None).await?.as_ref(), None)?.timesteps();
    let transformer = TransformerSteps::open(model).await?;
    let sample_size = transformer.sizes().sample_size;
    let size = StepSize { batch: 2, latents: Size::square(sample_size), text: habits.prompt_tokens };
    let (grid, given) = (transformer.grid(size.latents)?, transformer.given(size).await?);
    let (policies, trained) = (&model.registry().policies, &transformer.trained);
    let mut flops = Vec::new();
    for kind in policies.runnable(trained) {
        let policy = policies.policy(&Compression::policy(kind.name()), trained, 0, false)?;
        match mean(&transformer, size, &given, &policy, &timesteps) {
            Ok(mean) => flops.push((kind.name().to_owned(), mean)),
            // What this size does not allow has no FLOPs: windows on a grid with an odd side.
            Err(refused) if refused.is_usage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(StepFacts { sample_size, grid, flops, trained: transformer.trained })
}

fn mean(
    transformer: &TransformerSteps,
    size: StepSize,
    given: &Given,
    policy: &AnyPolicy,
    timesteps: &[f32],
) -> Result<u64> {
    let PolicySteps { distinct, of_step } = policy.steps(timesteps, transformer.grid(size.latents)?.tokens());
    let flops = distinct.iter().map(|step| Ok(transformer.step(size, given, step)?.flops()));
    let flops = flops.collect::<Result<Vec<u64>>>()?;
    // Of an absurd size they are as many as can be counted.
    let sum = of_step.iter().fold(0u64, |sum, &of| sum.saturating_add(flops[of]));
    Ok(sum / (of_step.len() as u64).max(1))
}
