//! What `inspect` tells, gathered through the same loaders that `generate` uses.

use foveate::compress::DiffcrConfig;
use foveate::models::Loader;
use foveate::pipelines::{ClassToImage, Kind, LoadOptions, ModelFolder, TextToImage};
use foveate::weights::Format;
use foveate::{Context, Error, Result};
use serde_json::{Map, Value, json};

use super::flops::{self, StepFacts};
use super::precision::{self, Loss};

/// The dtypes that `--dtype` offers.
pub const DTYPES: [Format; 4] = [Format::F32, Format::F16, Format::Int8, Format::Int4];

/// A model folder's facts.
#[derive(Debug)]
pub struct Facts {
    pub pipeline: String,
    pub scheduler: &'static str,
    /// The trained picture's side in pixels.
    pub pixels: usize,
    /// The trained token grid, rows and columns.
    pub grid: [usize; 2],
    /// The most tokens of a prompt.
    pub prompt_tokens: Option<usize>,
    /// By policy, dense first: one denoising step of one picture under guidance, the mean over the default steps.
    pub flops: Vec<(&'static str, u64)>,
    pub components: Vec<Component>,
    pub losses: Vec<Loss>,
    /// Of a checkpoint with routers.
    pub kept: Option<DiffcrConfig>,
}

/// A part of the pipeline.
#[derive(Debug)]
pub struct Component {
    pub name: &'static str,
    pub class: String,
    /// Numbers in its files.
    pub parameters: u64,
    /// Bytes on the GPU as the files have them, and at each of [`DTYPES`].
    pub stored: u64,
    pub bytes: [u64; 4],
}

/// Reads everything but the GPU.
pub async fn gather(folder: &ModelFolder) -> Result<Facts> {
    let kind = folder.kind()?;
    let scheduler = folder.scheduler(None).await?.class();
    let (vae, _) = folder.vae().await?;
    let mut components = vec![component(folder, kind, "transformer").await?, component(folder, kind, "vae").await?];
    if kind == Kind::TextToImage && folder.has("text_encoder").await? {
        components.push(component(folder, kind, "text_encoder").await?);
    }
    let mut losses = Vec::new();
    for format in [Format::Int8, Format::Int4] {
        for component in components.iter().filter(|c| c.name != "vae") {
            let loader = loader(folder, kind, component.name, Some(format)).await?;
            losses.extend(precision::loss(component.name, &loader, format).await?);
        }
    }
    let prompt_tokens = (kind == Kind::TextToImage).then(|| folder.prompt_tokens());
    let StepFacts { sample_size, grid, flops, kept } =
        flops::count(folder, kind).await.context(|| "counting one step")?;
    Ok(Facts {
        pipeline: folder.pipeline.clone(),
        scheduler,
        pixels: sample_size * vae.config.scale_factor(),
        grid,
        prompt_tokens,
        flops,
        components,
        losses,
        kept,
    })
}

async fn component(folder: &ModelFolder, kind: Kind, name: &'static str) -> Result<Component> {
    let as_stored = loader(folder, kind, name, None).await?;
    let size = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    let mut bytes = [0; 4];
    for (bytes, dtype) in bytes.iter_mut().zip(DTYPES) {
        *bytes = loader(folder, kind, name, Some(dtype)).await?.bytes();
    }
    let mut config = folder.config(name).await?;
    let class = match config.optional::<String>("_class_name")? {
        Some(class) => class,
        None => config.take("architectures", Vec::new())?.pop().unwrap_or_default(),
    };
    let parameters = as_stored.checkpoint().tensors().map(|(_, info)| size(&info.shape)).sum();
    Ok(Component { name, class, parameters, stored: as_stored.bytes(), bytes })
}

async fn loader(folder: &ModelFolder, kind: Kind, component: &str, dtype: Option<Format>) -> Result<Loader> {
    let options = LoadOptions { dtype };
    Ok(match (component, kind) {
        ("transformer", Kind::ClassToImage) => ClassToImage::transformer(folder, options).await?.1,
        ("transformer", Kind::TextToImage) => TextToImage::transformer(folder, options).await?.1,
        ("text_encoder", _) => match TextToImage::text_encoder(folder, options).await? {
            Some((_, loader)) => loader,
            None => return Err(Error::file(folder.source.display(component), "is missing")),
        },
        _ => folder.vae().await?.1,
    })
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
            "tokens": self.grid[0] * self.grid[1],
            "grid": self.grid,
            "prompt_tokens": self.prompt_tokens,
            "flops_per_step": self.flops.iter().map(|&(name, count)| (name.into(), json!(count))).collect::<Map<_, _>>(),
            "components": self.components.iter().map(component).collect::<Vec<_>>(),
            "errors": self.losses.iter().map(Loss::json).collect::<Vec<_>>(),
            "diffcr": self.kept.as_ref().map(DiffcrConfig::json),
        })
    }
}
