//! The device, and loading onto it.

use std::sync::Arc;

use foveate::{Error, Gpu, Pipeline, Progress, Source, wgpu};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::Model;
use crate::failure::{Thrown, failure};
use crate::files::ModelFiles;
use crate::options::{JsLoadOptions, load_options};
use crate::tell::{self, AdapterFacts};

/// An adapter with a device of its own.
#[wasm_bindgen]
pub struct Engine {
    pub(crate) gpu: Gpu,
    pub(crate) instance: wgpu::Instance,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the fastest adapter.
    pub async fn create() -> Thrown<Engine> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let wish = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let found = instance.request_adapter(&wish).await;
        let adapter = found.map_err(|error| failure(Error::NoAdapter(error.to_string())))?;
        let gpu = Gpu::open(&adapter, false).await.map_err(failure)?;
        Ok(Engine { gpu, instance })
    }

    /// What the adapter can do.
    pub fn adapter(&self) -> Thrown<AdapterFacts> {
        tell::adapter(self.gpu.caps())
    }

    /// Resolves when the device is gone, with a message that says why.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn lost(&self) -> Promise {
        let lost = self.gpu.lost();
        future_to_promise(async move { Ok(lost.await.to_string().into()) })
    }

    /// Loads a model, streaming its weights to the device. `progress` is told the component, and how much of it is
    /// there in bytes on the device, done and in all.
    pub async fn load(
        &self,
        files: ModelFiles,
        options: JsLoadOptions,
        #[wasm_bindgen(unchecked_param_type = "(component: string, done: number, total: number) => void")]
        progress: Function,
    ) -> Thrown<Model> {
        #[allow(clippy::arc_with_non_send_sync, reason = "a browser's files never leave their worker")]
        let source = Source::Host(Arc::new(files));
        let options = load_options(&options).map_err(failure)?;
        let tell = |Progress { component, done, total }: Progress<'_>| {
            // Progress is told, not asked for: what its listener throws is its own affair.
            let _ = progress.call3(&JsValue::NULL, &component.into(), &(done as f64).into(), &(total as f64).into());
        };
        let pipeline = Pipeline::load(&self.gpu, source, options, tell).await.map_err(failure)?;
        Ok(Model { gpu: self.gpu.clone(), pipeline })
    }
}
