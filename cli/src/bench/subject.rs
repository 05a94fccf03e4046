//! What is measured: a folder's transformer, or a random one, at a size.

use foveate::models::autoencoder_kl;
use foveate::pipelines::{Backbone, LoadOptions, ModelFolder, StepSize};
use foveate::{Error, Result};
use serde_json::{Value, json};

use super::options::{Bench, RATIO};
use super::random_model;
use super::shape::{PATCH, Shape};
use crate::model;

/// A transformer and the step to take with it.
#[derive(Debug)]
pub struct Subject {
    pub backbone: Backbone,
    pub size: StepSize,
    /// What the model is told in each of the pipeline's default steps.
    pub timesteps: Vec<f32>,
    /// Token rows and columns.
    pub grid: [usize; 2],
    /// None: random weights.
    name: Option<String>,
    kind: &'static str,
    dtype: String,
}

impl Subject {
    /// Reads configs and headers; nothing is loaded yet.
    pub async fn open(options: &Bench) -> Result<Self> {
        let source = match &options.shape {
            Some(shape) => random_model::folder(shape, options.ratio.unwrap_or(RATIO))?,
            None => model::find(options.model.as_deref())?,
        };
        let name = options.shape.is_none().then(|| model::name(&source));
        let folder = ModelFolder::open(source).await?;
        let kind = folder.kind()?;
        let timesteps = folder.scheduler(None).await?.schedule(kind.steps())?.timesteps();
        let backbone = Backbone::open(&folder, LoadOptions { dtype: options.dtype }).await?;
        let latent = match (options.shape, options.size) {
            (Some(shape), _) => shape.grid.map(|tokens| PATCH * tokens),
            (None, None) => [backbone.sample_size(); 2],
            (None, Some(pixels)) => latent(&folder, pixels).await?,
        };
        let text = options.shape.map_or(folder.prompt_tokens(), |shape| shape.text);
        let size = StepSize { batch: options.batch, latent, text };
        let dtype = match (options.dtype, options.shape) {
            (Some(dtype), _) => dtype.to_string(),
            (None, Some(_)) => "f32".into(),
            (None, None) => "as stored".into(),
        };
        let grid = backbone.grid(latent)?;
        Ok(Self { backbone, size, timesteps, grid, name, kind: Shape::kind_name(kind), dtype })
    }

    /// Tokens of the picture, N.
    pub fn tokens(&self) -> usize {
        self.grid.iter().product()
    }

    /// Tokens of the prompt, where there is one.
    fn text(&self) -> Option<usize> {
        (self.kind == "pixart").then_some(self.size.text)
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let [width, heads] = self.backbone.width_and_heads();
        let [rows, columns] = self.grid;
        let text = self.text().map(|text| format!(" + {text} of text")).unwrap_or_default();
        let (name, layers) = (self.name.as_deref().unwrap_or("random weights"), self.backbone.layers());
        format!(
            "{name} ({}), width {width}, {layers} layers, {heads} heads, {} tokens ({rows} × {columns}){text}, batch {}, {}",
            self.kind,
            rows * columns,
            self.size.batch,
            self.dtype,
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let [width, heads] = self.backbone.width_and_heads();
        json!({
            "model": self.name,
            "kind": self.kind,
            "width": width,
            "layers": self.backbone.layers(),
            "heads": heads,
            "tokens": self.tokens(),
            "grid": self.grid,
            "text": self.text(),
            "batch": self.size.batch,
            "dtype": self.dtype,
        })
    }
}

/// Height and width of the latent of a picture of this width and height.
async fn latent(folder: &ModelFolder, [width, height]: [usize; 2]) -> Result<[usize; 2]> {
    let factor = autoencoder_kl::Config::read(folder.config("vae").await?)?.scale_factor();
    if width == 0 || height == 0 || !width.is_multiple_of(factor) || !height.is_multiple_of(factor) {
        let reason = format!("a size of {width}x{height} is not divisible by the VAE's factor {factor}");
        return Err(Error::Usage(reason));
    }
    Ok([height / factor, width / factor])
}
