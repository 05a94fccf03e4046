//! What the window needs to know about a model to fill its menus: read from the files, before or after loading.

use std::collections::BTreeMap;

use foveate::compress::{Compression, Parameter, Traces};
use foveate::low_level::weights::Format;
use foveate::models::{Denoiser, Draws, Habits};
use foveate::{Model, Pipeline, Result, Size};
use foveate_studio::memory::{Chosen, Found, Needs};
use serde::Deserialize;

use super::choice::{Choice, Storage};

/// A model, as menus and pages show it.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// How it was chosen.
    pub choice: Choice,
    /// Its name without the way to it.
    pub name: String,
    /// The pipeline class of diffusers.
    pub pipeline: String,
    /// How it draws where a request does not say.
    pub habits: Habits,
    /// The size that it was trained at.
    pub size: Size,
    /// Pixels per token, along each side: sizes are multiples of it.
    pub unit: usize,
    /// The policies that it can run, its own first.
    pub policies: Vec<PolicyFacts>,
    /// The class of its own scheduler.
    pub scheduler: &'static str,
    /// The names of all schedulers.
    pub schedulers: Vec<String>,
    /// The names of its classes, where it draws classes and has names for them.
    pub classes: BTreeMap<u32, String>,
    /// How its matrices are stored; none: as in the files.
    pub dtype: Option<Format>,
    /// Bytes of its weights as they are stored now.
    pub bytes: u64,
    /// What it needs of memory, and what its device has.
    pub room: Room,
    /// The device that it is loaded on.
    pub device: String,
}

/// What a model needs of memory, and what its device has.
#[derive(Clone, Debug)]
pub struct Room {
    /// What it needs.
    pub needs: Needs,
    /// What there is, where that is known.
    pub memory: Option<Found>,
}

impl Room {
    /// How the model is stored, as it was chosen or so that it fits. Where the memory is not known, as in the files.
    pub fn dtype(&self, storage: Storage) -> Option<Format> {
        match storage {
            Storage::Fitting => self.fitting().and_then(|chosen| chosen.dtype),
            Storage::AsInFiles => None,
            Storage::As(format) => Some(format),
        }
    }

    /// How it is stored where nobody chooses. None where the memory of the device is not known.
    pub fn fitting(&self) -> Option<Chosen> {
        self.memory.map(|found| self.needs.choose(found.usable()))
    }
}

/// A policy, as a menu shows it.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    /// Its name in requests.
    pub name: String,
    /// What it does.
    pub summary: String,
    /// What can be set.
    pub parameters: &'static [Parameter],
    /// Whether it takes a share of the tokens to save.
    pub has_ratio: bool,
    /// Whether a traced run shows what it computed.
    pub traces: bool,
}

impl ModelFacts {
    /// Whether it draws prompts; else it draws classes.
    pub fn draws_prompts(&self) -> bool {
        self.habits.draws == Draws::Prompts
    }

    /// The policy of a request.
    pub fn policy(&self, compression: &Compression) -> Option<&PolicyFacts> {
        match &compression.policy {
            None => self.policies.first(),
            Some(name) => self.policies.iter().find(|policy| policy.name == *name),
        }
    }

    /// Of a loaded model.
    pub(super) async fn gather(choice: &Choice, name: &str, pipeline: &Pipeline, room: &Room) -> Result<Self> {
        let model = pipeline.model();
        let registry = model.registry();
        let own = registry.policies.chosen(&Compression::default(), pipeline.trained())?.name().to_owned();
        let mut policies: Vec<PolicyFacts> = Vec::new();
        for kind in registry.policies.runnable(pipeline.trained()) {
            policies.push(PolicyFacts {
                name: kind.name().into(),
                summary: kind.summary().into(),
                parameters: kind.parameters(),
                has_ratio: kind.no_ratio().is_none(),
                traces: kind.traces() != Traces::Nothing,
            });
        }
        policies.sort_by_key(|policy| policy.name != own);
        let parts = model.parts().await?;
        let factor = parts.decoder.factor();
        Ok(Self {
            choice: choice.clone(),
            name: name.into(),
            pipeline: model.folder.pipeline.clone(),
            habits: model.habits(),
            size: Size::square(parts.denoiser.sizes().sample_size).times(factor),
            unit: latent_unit(parts.denoiser.as_ref()) * factor,
            policies,
            scheduler: model.scheduler(None).await?.class(),
            schedulers: registry.schedulers.names().iter().map(|name| (*name).to_owned()).collect(),
            classes: classes(model).await?,
            bytes: parts.loaders.iter().map(|loader| loader.bytes()).sum(),
            dtype: model.options.dtype,
            room: room.clone(),
            device: pipeline.device().caps().to_string(),
        })
    }
}

/// Latent pixels per token, along each side.
fn latent_unit(denoiser: &dyn Denoiser) -> usize {
    (1..=64).find(|&side| denoiser.grid(Size::square(side)).is_ok()).unwrap_or(1)
}

/// The names of classes, as `model_index.json` of diffusers' class models has them.
async fn classes(model: &Model) -> Result<BTreeMap<u32, String>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Index {
        id2label: BTreeMap<u32, String>,
    }
    if model.habits().draws == Draws::Prompts {
        return Ok(BTreeMap::new());
    }
    let bytes = model.folder.source.read("model_index.json").await?;
    // Names are a comfort: where they are written otherwise, classes have their numbers.
    Ok(serde_json::from_slice::<Index>(&bytes).unwrap_or_default().id2label)
}
