//! A model folder in the diffusers layout: which pipeline it holds, and its parts.

use serde_json::{Map, Value};

use super::{Fields, Loader, Scope, fields};
use crate::weights::{Checkpoint, Format, Source};
use crate::{Context, Error, Result};

/// An opened folder. Only `model_index.json` has been read.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// Where its files are.
    pub source: Source,
    /// The pipeline class that `model_index.json` names.
    pub pipeline: String,
    index: Map<String, Value>,
}

impl ModelFolder {
    /// Reads `model_index.json`.
    pub async fn open(source: Source) -> Result<Self> {
        let file = "model_index.json";
        let bytes = source.read_config(file).await.context(|| format!("opening the model {}", source.display("")))?;
        let index = fields::object(&source.display(file), &bytes)?;
        match index.get("_class_name").and_then(Value::as_str) {
            Some(class) => Ok(Self { pipeline: class.to_owned(), source, index }),
            None => Err(Error::config(source.display(file), "_class_name is missing")),
        }
    }

    /// Whether the folder has this component.
    pub async fn has(&self, component: &str) -> Result<bool> {
        let listed = self.index.get(component).and_then(Value::as_array);
        let null = listed.is_some_and(|pair| pair.iter().all(Value::is_null));
        if listed.is_none() || null {
            return Ok(false);
        }
        // A tokenizer's own config may be absent, and its vocabulary comes in one of two files.
        let probes: &[&str] = match component {
            "tokenizer" => &["tokenizer_config.json", "tokenizer.json", "spiece.model"],
            _ => &["config.json"],
        };
        for probe in probes {
            if self.source.exists(&format!("{component}/{probe}")).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A component's config.
    pub async fn config(&self, component: &str) -> Result<Fields> {
        Fields::read(&self.source, &format!("{component}/config.json")).await
    }

    /// Builds a component's model from the names and shapes in its checkpoint. No tensor is loaded yet. Tensors that
    /// satisfy `unused` may be there without being asked for.
    pub async fn build<M>(
        &self,
        component: &str,
        dtype: Option<Format>,
        unused: impl Fn(&str) -> bool,
        model: impl FnOnce(&mut Scope<'_>) -> Result<M>,
    ) -> Result<(M, Loader)> {
        let stem = if component.starts_with("text_encoder") { "model" } else { "diffusion_pytorch_model" };
        let doing = || format!("loading the {component}");
        let checkpoint = Checkpoint::open(&self.source, component, stem).await.context(doing)?;
        let mut loader = Loader::new(component, checkpoint, dtype);
        loader.ignore(unused);
        let model = model(&mut loader.root()).context(doing)?;
        loader.finish().context(doing)?;
        Ok((model, loader))
    }
}
