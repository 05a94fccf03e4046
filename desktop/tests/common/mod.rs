//! What the tests of the app and of its window share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::Path;

use foveate_desktop::state::{Form, Settings};
use foveate_studio::Origin;

/// A tiny model of the repository, by its path below the goldens.
pub fn model(name: &str) -> String {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens").canonicalize().unwrap();
    goldens.join(name).join("model").to_str().unwrap().to_owned()
}

/// Settings that draw `prompt` with this model on the processor.
pub fn settings(model: String, prompt: &str, steps: usize) -> Settings {
    let mut form = Form { keep_seed: true, ..Form::default() };
    form.request.prompt = prompt.into();
    (form.request.steps, form.request.seed) = (Some(steps), 7);
    let mut settings = Settings { form, ..Settings::default() };
    (settings.choice.model, settings.choice.adapter) = (model, Some("cpu".into()));
    settings
}

/// How a picture says it was drawn.
pub fn origin(path: &Path) -> Origin {
    Origin::read(path).unwrap()
}
