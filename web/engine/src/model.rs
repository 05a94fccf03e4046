//! A loaded model.

use foveate::{Device, Error, Pipeline};
use wasm_bindgen::prelude::*;

use crate::Run;
use crate::failure::{Thrown, failure};
use crate::options::{JsRequest, request};
use crate::tell::{self, ModelFacts};

/// A model on the device.
#[wasm_bindgen]
pub struct Model {
    pub(crate) device: Device,
    pub(crate) pipeline: Pipeline,
}

#[wasm_bindgen]
impl Model {
    /// What it is.
    pub fn facts(&self) -> Thrown<ModelFacts> {
        tell::model(&self.pipeline)
    }

    /// Prepares a request: encodes its text, compiles its steps.
    pub async fn prepare(&self, request: JsRequest) -> Thrown<Run> {
        let request = self::request(&request).map_err(failure)?;
        let run = self.pipeline.prepare(&request).await.map_err(failure)?;
        let viewer = match run.viewer().await {
            // A picture too large to be decoded whole has no previews; in the end it is decoded in tiles.
            Err(error) if matches!(error.root(), Error::Limit { .. }) => None,
            viewer => Some(viewer.map_err(failure)?),
        };
        Ok(Run::new(self.device.clone(), run, viewer))
    }
}
