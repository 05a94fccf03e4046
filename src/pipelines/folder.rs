//! A model folder in the diffusers layout: which pipeline it holds, and its parts.

use serde_json::{Map, Value};

use crate::config::Fields;
use crate::device::{Device, Store};
use crate::models::autoencoder_kl::{self, AutoencoderKl};
use crate::models::{Loader, Scope};
use crate::schedulers::{self, Scheduler};
use crate::weights::{Checkpoint, Format, Source};
use crate::{Context, Error, Result};

/// How to load a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// How to store matrices; none: as the files have them, which loses nothing.
    pub dtype: Option<Format>,
}

/// How far loading is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// "transformer", "vae", "text_encoder".
    pub component: &'a str,
    /// Bytes on the GPU.
    pub done: u64,
    /// Bytes of this component.
    pub total: u64,
}

/// An opened folder; nothing but `model_index.json` is read yet.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// Where its files are.
    pub source: Source,
    /// The pipeline class.
    pub pipeline: String,
    index: Map<String, Value>,
}

impl ModelFolder {
    /// Reads `model_index.json`.
    pub async fn open(source: Source) -> Result<Self> {
        let file = "model_index.json";
        let bytes = source.read(file).await.context(|| format!("opening the model {}", source.display("")))?;
        let index = match serde_json::from_slice(&bytes) {
            Ok(Value::Object(index)) => index,
            Ok(_) => return Err(Error::config(source.display(file), "is not a JSON object")),
            Err(error) => return Err(Error::config(source.display(file), format!("is not JSON: {error}"))),
        };
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
        let probe = if component == "tokenizer" { "tokenizer_config.json" } else { "config.json" };
        self.source.exists(&format!("{component}/{probe}")).await
    }

    /// A component's config.
    pub async fn config(&self, component: &str) -> Result<Fields> {
        Fields::read(&self.source, &format!("{component}/config.json")).await
    }

    /// The scheduler that the folder names, or `name` over the folder's config.
    pub async fn scheduler(&self, name: Option<&str>) -> Result<Box<dyn Scheduler>> {
        let path = "scheduler/scheduler_config.json";
        let file = self.source.display(path);
        let json = schedulers::parse(&file, &self.source.read(path).await?)?;
        match name {
            None => schedulers::from_config(&file, &json),
            Some(name) => schedulers::named(name, &file, &json),
        }
    }

    /// Builds a component's model from its checkpoint's names and shapes; nothing is uploaded yet.
    pub async fn build<M>(
        &self,
        component: &str,
        dtype: Option<Format>,
        unused: impl Fn(&str) -> bool,
        model: impl FnOnce(&mut Scope<'_>) -> Result<M>,
    ) -> Result<(M, Loader)> {
        let stem = if component == "text_encoder" { "model" } else { "diffusion_pytorch_model" };
        let doing = || format!("loading the {component}");
        let checkpoint = Checkpoint::open(&self.source, component, stem).await.context(doing)?;
        let mut loader = Loader::new(component, checkpoint, dtype);
        loader.ignore(unused);
        let model = model(&mut loader.root()).context(doing)?;
        loader.finish().context(doing)?;
        Ok((model, loader))
    }

    /// The VAE, its matrices as the file has them: it is small, and errors in it show.
    pub async fn vae(&self) -> Result<(AutoencoderKl, Loader)> {
        let config = autoencoder_kl::Config::read(self.config("vae").await?)?;
        self.build("vae", None, AutoencoderKl::unused, |scope| AutoencoderKl::load(config, scope)).await
    }
}

/// Uploads the components in turn.
pub(super) async fn upload(
    gpu: &Device,
    loaders: &[(&str, &Loader)],
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Store> {
    let mut store = Store::new();
    for &(component, loader) in loaders {
        loader.allocate(gpu, &mut store).await.context(|| format!("making room for the {component}"))?;
    }
    for &(component, loader) in loaders {
        let tell = |done, total| progress(Progress { component, done, total });
        loader.upload(gpu, &store, tell).await.context(|| format!("loading the {component}"))?;
    }
    Ok(store)
}
