//! A loaded model.

use std::time::Duration;

use foveate::low_level::tuning::{self, Progress};
use foveate::{Device, Error, Pipeline};
use foveate_studio::{self as studio, About};
use js_sys::Function;
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

    /// Measures the variants of the kernels for the products of a request, for about so many seconds, and returns the tuning
    /// as [`Engine::create`](crate::Engine::create) takes it. `progress` is told how many products are done, and of how many.
    pub async fn tune(
        &self,
        request: JsRequest,
        seconds: f64,
        #[wasm_bindgen(unchecked_param_type = "(done: number, total: number) => void")] progress: Function,
    ) -> Thrown<String> {
        let gpu = self.device.gpu("tuning").map_err(failure)?.untuned();
        let budget = Duration::try_from_secs_f64(seconds);
        let budget = budget.map_err(|_| failure(Error::Usage(format!("{seconds} seconds are no time to measure"))))?;
        let run = self.pipeline.prepare(&self::request(&request).map_err(failure)?).await.map_err(failure)?;
        let tell = |Progress { done, all, .. }: Progress<'_>| {
            // Progress is told, not asked for.
            let _ = progress.call2(&JsValue::NULL, &(done as f64).into(), &(all as f64).into());
            Ok(())
        };
        let tuning = tuning::tune(&gpu, run.graphs(), budget, tell).await.map_err(failure)?;
        Ok(tuning.json())
    }
}
