//! FLOPs of one step by policy, counted from the graphs that a run would compile.

use foveate::Result;
use foveate::compress::{Choice, Compress, DiffcrConfig, Policy, StepPolicy};
use foveate::graph::{Element, Graph, ValueId};
use foveate::kernels::step_row;
use foveate::models::patch_embed::Noisy;
use foveate::models::pixart::Text;
use foveate::pipelines::{ClassToImage, Kind, LoadOptions, ModelFolder, TextToImage};

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
    let options = LoadOptions::default();
    let timesteps = folder.scheduler(None).await?.schedule(kind.steps())?.timesteps();
    let steps = |side: usize, grid: [usize; 2], routers: &_, forward: &Forward<'_>| -> Result<StepFacts> {
        let mut flops = Vec::new();
        for policy in [Compress::Dense, Compress::Diffcr, Compress::Mod] {
            // What a checkpoint cannot run has no FLOPs.
            if let Ok(policy) = (Choice { policy, ..Choice::default() }).policy(routers) {
                flops.push((policy.name(), mean(policy.as_ref(), &timesteps, grid, forward)?));
            }
        }
        let kept = routers.as_ref().ok().map(|routers| routers.config.clone());
        Ok(StepFacts { sample_size: side, grid, flops, kept })
    };
    match kind {
        Kind::ClassToImage => {
            let transformer = ClassToImage::transformer(folder, options).await?.0;
            let model = &transformer.model;
            let (side, channels) = (model.config.sample_size, model.config.in_channels);
            let grid = model.patch_embed.grid([side, side])?;
            steps(side, grid, &transformer.routers, &|graph, policy| {
                let noisy = noisy(graph, channels, side);
                model.forward(graph, noisy, policy)
            })
        }
        Kind::TextToImage => {
            let transformer = TextToImage::transformer(folder, options).await?.0;
            let model = &transformer.model;
            let (side, channels) = (model.config.sample_size, model.config.in_channels);
            let grid = model.patch_embed.grid([side, side])?;
            let text = Text { batch: 2, length: folder.prompt_tokens() };
            steps(side, grid, &transformer.routers, &|graph, policy| {
                let noisy = noisy(graph, channels, side);
                model.forward(graph, noisy, text, policy)
            })
        }
    }
}

type Forward<'a> = dyn Fn(&mut Graph, StepPolicy<'_>) -> Result<ValueId> + 'a;

fn noisy(graph: &mut Graph, channels: usize, side: usize) -> Noisy {
    Noisy {
        latents: graph.stored("latents", &[1, channels, side, side], Element::F32),
        step: graph.stored("step", &[step_row::LEN], Element::F32),
        batch: 2,
    }
}

fn mean(policy: &dyn Policy, timesteps: &[f32], grid: [usize; 2], forward: &Forward<'_>) -> Result<u64> {
    let (variants, variant_of) = policy.variants(timesteps, grid[0] * grid[1]);
    let mut flops = Vec::new();
    for variant in &variants {
        let mut graph = Graph::new();
        forward(&mut graph, StepPolicy { policy, variant })?;
        flops.push(graph.flops());
    }
    Ok(variant_of.iter().map(|&of| flops[of]).sum::<u64>() / (variant_of.len() as u64).max(1))
}
