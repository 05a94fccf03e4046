//! What `inspect` tells, gathered through the same loaders that `generate` uses.

use foveate::compress::Dense;
use foveate::graph::{Element, Graph};
use foveate::kernels::step_row;
use foveate::models::Loader;
use foveate::models::patch_embed::Noisy;
use foveate::models::pixart::Text;
use foveate::pipelines::{ClassToImage, Kind, LoadOptions, ModelFolder, TextToImage};
use foveate::weights::Format;
use foveate::{Context, Error, Result};
use serde_json::{Map, Value, json};

use super::kept::Kept;
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
    /// One denoising step of one picture under guidance, every token computed.
    pub flops: u64,
    pub components: Vec<Component>,
    pub losses: Vec<Loss>,
    pub kept: Option<Kept>,
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
    let (sample_size, grid, flops) = step(folder, kind).await.context(|| "counting one step")?;
    Ok(Facts {
        pipeline: folder.pipeline.clone(),
        scheduler,
        pixels: sample_size * vae.config.scale_factor(),
        grid,
        prompt_tokens,
        flops,
        components,
        losses,
        kept: Kept::read(folder).await?,
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

/// The trained latent's side, its token grid, and the FLOPs of one step: the graph is built as a run would build it,
/// and counted instead of compiled.
async fn step(folder: &ModelFolder, kind: Kind) -> Result<(usize, [usize; 2], u64)> {
    let mut graph = Graph::new();
    let mut noisy = |channels: usize, side: usize| Noisy {
        latents: graph.stored("latents", &[1, channels, side, side], Element::F32),
        step: graph.stored("step", &[step_row::LEN], Element::F32),
        batch: 2,
    };
    let (side, grid) = match kind {
        Kind::ClassToImage => {
            let (model, _) = ClassToImage::transformer(folder, LoadOptions::default()).await?;
            let side = model.config.sample_size;
            let noisy = noisy(model.config.in_channels, side);
            model.forward(&mut graph, noisy, &Dense)?;
            (side, model.patch_embed.grid([side, side])?)
        }
        Kind::TextToImage => {
            let (model, _) = TextToImage::transformer(folder, LoadOptions::default()).await?;
            let side = model.config.sample_size;
            let noisy = noisy(model.config.in_channels, side);
            let text = Text { batch: 2, length: folder.prompt_tokens() };
            model.forward(&mut graph, noisy, text, &Dense)?;
            (side, model.patch_embed.grid([side, side])?)
        }
    };
    Ok((side, grid, graph.flops()))
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
            "flops_per_step": { "dense": self.flops },
            "components": self.components.iter().map(component).collect::<Vec<_>>(),
            "errors": self.losses.iter().map(Loss::json).collect::<Vec<_>>(),
            "diffcr": self.kept.as_ref().map(Kept::json),
        })
    }
}
