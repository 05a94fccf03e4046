//! FLOPs of one step by policy, counted from the graphs that a run would compile.

use foveate::Result;
use foveate::compress::{Choice, Compress, DiffcrConfig, Policy, StepPolicy};
use foveate::pipelines::{Backbone, Kind, LoadOptions, ModelFolder, StepSize};

/// One denoising step of one picture under guidance, at the trained size.
#[derive(Debug)]
pub struct StepFacts {
    /// The trained latent's side.
    pub sample_size: usize,
    /// Token rows and columns.
    pub grid: [usize; 2],
    /// By policy, dense first; the mean over the pipeline's default steps.
    pub flops: Vec<(&'static str, u64)>,
    /// Of a checkpoint with routers.
    pub kept: Option<DiffcrConfig>,
}

/// Counts for every policy that the checkpoint can run.
pub async fn count(folder: &ModelFolder, kind: Kind) -> Result<StepFacts> {
    let timesteps = folder.scheduler(None).await?.schedule(kind.steps())?.timesteps();
    let backbone = Backbone::open(folder, LoadOptions::default()).await?;
    let sample_size = backbone.sample_size();
    let size = StepSize { batch: 2, latent: [sample_size; 2], text: folder.prompt_tokens() };
    let mut flops = Vec::new();
    for policy in [Compress::Dense, Compress::Diffcr, Compress::Mod, Compress::Sdtm, Compress::Tome, Compress::Kv] {
        // What a checkpoint cannot run has no FLOPs: routing without routers, windows on a grid with an odd side.
        let Ok(policy) = (Choice { policy, ..Choice::default() }).policy(&backbone.routers) else { continue };
        match mean(&backbone, size, policy.as_ref(), &timesteps) {
            Ok(mean) => flops.push((policy.name(), mean)),
            Err(refused) if refused.is_usage() => {}
            Err(error) => return Err(error),
        }
    }
    let kept = backbone.routers.as_ref().ok().map(|routers| routers.config.clone());
    Ok(StepFacts { sample_size, grid: backbone.grid(size.latent)?, flops, kept })
}

fn mean(backbone: &Backbone, size: StepSize, policy: &dyn Policy, timesteps: &[f32]) -> Result<u64> {
    let (variants, variant_of) = policy.variants(timesteps, backbone.grid(size.latent)?.iter().product());
    let mut flops = Vec::new();
    for variant in &variants {
        flops.push(backbone.step(size, StepPolicy { policy, variant })?.flops());
    }
    Ok(variant_of.iter().map(|&of| flops[of]).sum::<u64>() / (variant_of.len() as u64).max(1))
}
