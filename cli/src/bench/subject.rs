//! What is measured: a folder's transformer, or a random one, at a size.

use foveate::Model;
use foveate::compress::Policies;
use foveate::low_level::pipeline::{StepSize, TransformerSteps};
use foveate::models::{Draws, Sizes};
use foveate::{Grid, LoadOptions, Result, Size};
use foveate_studio::model;
use serde_json::{Value, json};

use super::options::{RATIO, What};
use super::random_model;
use super::shape::PATCH;
use crate::model::find;

/// A transformer and the step to take with it.
#[derive(Debug)]
pub struct Subject {
    pub transformer: TransformerSteps,
    /// The policies that it may run.
    pub policies: Policies,
    pub size: StepSize,
    /// What the model is given in each of the pipeline's default steps.
    pub timesteps: Vec<f32>,
    pub grid: Grid,
    /// None: random weights.
    name: Option<String>,
    family: &'static str,
    /// Tokens of the prompt, where there is one.
    text: Option<usize>,
    dtype: String,
}

impl Subject {
    /// Reads configs and headers; nothing is loaded yet.
    pub async fn open(options: &What) -> Result<Self> {
        let source = match &options.shape {
            Some(shape) => random_model::folder(shape, options.ratio.unwrap_or(RATIO))?,
            None => find(options.model.as_deref())?,
        };
        let name = options.shape.is_none().then(|| model::name(&source));
        let model = Model::open(source, LoadOptions { dtype: options.dtype, ..LoadOptions::default() }).await?;
        let habits = model.habits();
        let timesteps = model.schedule(model.scheduler(None).await?.as_ref(), None)?.timesteps();
        let transformer = TransformerSteps::open(&model).await?;
        let latents = match (options.shape, options.size) {
            (Some(shape), _) => Size::new(shape.grid.columns, shape.grid.rows).times(PATCH),
            (None, None) => Size::square(transformer.sizes().sample_size),
            (None, Some(pixels)) => model.latents(pixels).await?,
        };
        let text = options.shape.map_or(habits.prompt_tokens, |shape| shape.text);
        let dtype = match (options.dtype, options.shape) {
            (Some(dtype), _) => dtype.to_string(),
            (None, Some(_)) => "f32".into(),
            (None, None) => "as stored".into(),
        };
        Ok(Self {
            policies: model.registry().policies.clone(),
            size: StepSize { batch: options.batch, latents, text },
            timesteps,
            grid: transformer.grid(latents)?,
            transformer,
            name,
            family: model.family.name(),
            text: (habits.draws == Draws::Prompts).then_some(text),
            dtype,
        })
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let Sizes { layers, width, heads, .. } = self.transformer.sizes();
        let Grid { rows, columns } = self.grid;
        let text = self.text.map(|text| format!(" + {text} of text")).unwrap_or_default();
        let name = self.name.as_deref().unwrap_or("random weights");
        format!(
            "{name} ({}), width {width}, {layers} layers, {heads} heads, {} tokens ({rows} × {columns}){text}, batch {}, {}",
            self.family,
            self.grid.tokens(),
            self.size.batch,
            self.dtype,
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Sizes { layers, width, heads, .. } = self.transformer.sizes();
        json!({
            "model": self.name,
            "kind": self.family,
            "width": width,
            "layers": layers,
            "heads": heads,
            "tokens": self.grid.tokens(),
            "grid": [self.grid.rows, self.grid.columns],
            "text": self.text,
            "batch": self.size.batch,
            "dtype": self.dtype,
        })
    }
}
