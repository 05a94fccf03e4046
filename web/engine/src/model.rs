//! A loaded model.

use foveate::{Device, Error, Pipeline};
use foveate_studio::{self as studio, About};
use wasm_bindgen::prelude::*;

use crate::failure::{Thrown, failure};
use crate::options::{JsRequest, request};
use crate::run::Shows;
use crate::tell::{self, ModelFacts};
use crate::{Beginning, Run};

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

    /// Prepares a request, perhaps one that begins with a picture: encodes what it is given, compiles its steps. `name` is
    /// what pictures call the model: its address where left out.
    pub async fn prepare(&self, request: JsRequest, beginning: Option<Beginning>, name: Option<String>) -> Thrown<Run> {
        let mut request = self::request(&request).map_err(failure)?;
        let begin = |beginning: Beginning| beginning.begin(&self.pipeline, &mut request);
        let placed = beginning.map(begin).transpose().map_err(failure)?.flatten();
        let run = self.pipeline.prepare(&request).await.map_err(failure)?;
        let shows = match request.compression.masked {
            Some(_) => Shows::Part,
            None => match run.viewer().await {
                // A picture too large to be decoded whole has no previews; in the end it is decoded in tiles.
                Err(error) if matches!(error.root(), Error::Limit { .. }) => Shows::Nothing,
                viewer => Shows::Whole(viewer.map_err(failure)?.into()),
            },
        };
        let model = self.pipeline.model();
        let name = name.unwrap_or_else(|| studio::model::name(&model.folder.source));
        let said = About::new(&request, &name, model.options.dtype, &run).said(0).map_err(failure)?;
        Ok(Run::new(self.device.clone(), run, shows, placed, said))
    }
}
