//! What `inspect` reports, gathered through the same loaders that `generate` uses.

use foveate::Model;
use foveate::compress::{DiffcrConfig, Routers};
use foveate::low_level::loading::Loader;
use foveate::low_level::weights::Format;
use foveate::models::Draws;
use foveate::{Context, Grid, LoadOptions, Result};
use foveate_studio::memory::DTYPES;
use serde_json::{Map, Value, json};

use super::flops::{self, StepFacts};
use super::precision::{self, Loss};

/// A model folder's facts.
#[derive(Debug)]
pub struct Facts {
    pub pipeline: String,
    pub scheduler: &'static str,
    /// The trained picture's side in pixels.
    pub pixels: usize,
    /// The trained token grid.
    pub grid: Grid,
    /// The most tokens of a prompt.
    pub prompt_tokens: Option<usize>,
    /// By policy, dense first: one denoising step of one picture under guidance, the mean over the default steps.
    pub flops: Vec<(String, u64)>,
    pub components: Vec<Component>,
    pub losses: Vec<Loss>,
    /// Of a checkpoint with routers.
    pub kept: Option<DiffcrConfig>,
}

/// A part of the pipeline.
#[derive(Debug)]
pub struct Component {
    pub name: String,
    pub class: String,
    /// Numbers in its files.
    pub parameters: u64,
    /// Bytes on the GPU as the files have them, and at each of [`DTYPES`].
    pub stored: u64,
    pub bytes: [u64; 4],
}

/// Reads everything but the GPU.
pub async fn gather(model: &Model) -> Result<Facts> {
    let scheduler = model.scheduler(None).await?.class();
    let parts = model.parts().await?;
    let mut components = Vec::new();
    for loader in &parts.loaders {
        components.push(Component::new(model, loader).await?);
    }
    let mut losses = Vec::new();
    for (at, dtype) in DTYPES.into_iter().enumerate() {
        let options = LoadOptions { dtype: Some(dtype), ..model.options.clone() };
        let parts = Model { options, ..model.clone() }.parts().await?;
        for (component, loader) in components.iter_mut().zip(&parts.loaders) {
            component.bytes[at] = loader.bytes();
            if matches!(dtype, Format::Int8 | Format::Int4) {
                losses.extend(precision::loss(loader, dtype).await?);
            }
        }
    }
    let StepFacts { sample_size, grid, flops, trained } = flops::count(model).await.context(|| "counting one step")?;
    let habits = model.habits();
    Ok(Facts {
        pipeline: model.folder.pipeline.clone(),
        scheduler,
        pixels: sample_size * parts.decoder.factor(),
        grid,
        prompt_tokens: (habits.draws == Draws::Prompts).then_some(habits.prompt_tokens),
        flops,
        components,
        losses,
        kept: Routers::of(&trained).map(|routers| routers.config.clone()),
    })
}

impl Component {
    /// What `loader` loads as the files have it; bytes by dtype are left to be filled in.
    async fn new(model: &Model, loader: &Loader) -> Result<Self> {
        let name = loader.component();
        let mut config = model.folder.config(name).await?;
        let class = match config.optional::<String>("_class_name")? {
            Some(class) => class,
            None => config.take("architectures", Vec::new())?.pop().unwrap_or_default(),
        };
        let size = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        let parameters = loader.checkpoint().tensors().map(|(_, info)| size(&info.shape)).sum();
        Ok(Self { name: name.into(), class, parameters, stored: loader.bytes(), bytes: [0; 4] })
    }
}

impl Facts {
    /// The facts for programs.
    pub fn json(&self) -> Value {
        let component = |c: &Component| {
            let dtypes = DTYPES.iter().zip(c.bytes).map(|(dtype, bytes)| (dtype.to_string(), json!(bytes)));
            let mut bytes: Map<_, _> = dtypes.collect();
            bytes.insert("stored".into(), json!(c.stored));
            json!({ "name": c.name, "class": c.class, "parameters": c.parameters, "bytes": bytes })
        };
        json!({
            "pipeline": self.pipeline,
            "scheduler": self.scheduler,
            "size": [self.pixels, self.pixels],
            "tokens": self.grid.tokens(),
            "grid": [self.grid.rows, self.grid.columns],
            "prompt_tokens": self.prompt_tokens,
            "flops_per_step": self.flops.iter().map(|(name, count)| (name.clone(), json!(count))).collect::<Map<_, _>>(),
            "components": self.components.iter().map(component).collect::<Vec<_>>(),
            "errors": self.losses.iter().map(Loss::json).collect::<Vec<_>>(),
            "diffcr": self.kept.as_ref().map(DiffcrConfig::json),
        })
    }
}
