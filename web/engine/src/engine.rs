//! The device, and loading onto it.

use std::sync::Arc;

use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::low_level::tuning::Tuning;
use foveate::{Device, Error, Gpu, Pipeline, Progress, Source, wgpu};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::Model;
use crate::failure::{Thrown, failure};
use crate::files::ModelFiles;
use crate::options::{JsLoadOptions, load_options};
use crate::tell::{self, AdapterFacts};

/// Bytes of weights that the processor may keep a second time, in the order in which it reads them: of the 4 GiB that a
/// module can have at most.
const PACKED: u64 = 512 << 20;

/// A device: an adapter's, or the processor.
#[wasm_bindgen]
pub struct Engine {
    pub(crate) device: Device,
    /// Where canvases of a GPU come from.
    pub(crate) instance: Option<wgpu::Instance>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the fastest adapter. Its kernels follow `tuning`, which [`Model::tune`] made, if that was measured on the same
    /// adapter with the same shaders; [`Engine::adapter`] says whether they do.
    pub async fn create(tuning: Option<String>) -> Thrown<Engine> {
        let tuning = tuning.map(|text| Tuning::parse(&text)).transpose().map_err(failure)?;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let wish = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let found = instance.request_adapter(&wish).await;
        let adapter = found.map_err(|error| failure(Error::NoAdapter(error.to_string())))?;
        let gpu = Gpu::open(&adapter, false).await.map_err(failure)?;
        let gpu = match tuning.filter(|tuning| tuning.fits(gpu.caps())) {
            Some(tuning) => gpu.with_tuning(&tuning).map_err(failure)?,
            None => gpu,
        };
        Ok(Engine { device: gpu.into(), instance: Some(instance) })
    }

    /// Takes the processor: the thread that calls, which is busy during each step.
    pub fn processor() -> Thrown<Engine> {
        let options = ProcessorOptions { packed: PACKED, ..Default::default() };
        let processor = Processor::new(options).map_err(failure)?;
        Ok(Engine { device: processor.into(), instance: None })
    }

    /// What the adapter can do.
    pub fn adapter(&self) -> Thrown<AdapterFacts> {
        tell::adapter(&self.device)
    }

    /// Resolves when the GPU is gone, with a message that says why. The processor stays.
    #[wasm_bindgen(unchecked_return_type = "Promise<string> | undefined")]
    pub fn lost(&self) -> Option<Promise> {
        let lost = self.device.executor::<Gpu>()?.lost();
        Some(future_to_promise(async move { Ok(lost.await.to_string().into()) }))
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
        let pipeline = Pipeline::load(&self.device, source, options, tell).await.map_err(failure)?;
        Ok(Model { device: self.device.clone(), pipeline })
    }
}
