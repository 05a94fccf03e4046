//! A model folder as the worker's JavaScript serves it: from the network or from the browser's own storage.

use std::ops::Range;

use foveate::low_level::shared::Work;
use foveate::low_level::weights::Files;
use foveate::{Error, Result};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const MODEL_FILES: &str = r#"
/** A model folder, file by file. What rejects is told with its message. */
export interface ModelFiles {
    size(file: string): Promise<number>;
    exists(file: string): Promise<boolean>;
    read(file: string, start: number, end: number): Promise<Uint8Array>;
    address(file: string): string;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// What [`crate::Engine::load`] is given.
    #[wasm_bindgen(typescript_type = "ModelFiles")]
    #[derive(Debug)]
    pub type ModelFiles;

    #[wasm_bindgen(method, structural, catch)]
    async fn size(this: &ModelFiles, file: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn exists(this: &ModelFiles, file: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn read(this: &ModelFiles, file: &str, start: f64, end: f64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural)]
    fn address(this: &ModelFiles, file: &str) -> String;
}

impl Files for ModelFiles {
    fn size<'a>(&'a self, file: &'a str) -> Work<'a, u64> {
        Box::pin(async move {
            let size = self.size(file).await.map_err(|thrown| self.refused(file, &thrown))?;
            Ok(size.as_f64().unwrap_or(0.0) as u64)
        })
    }

    fn exists<'a>(&'a self, file: &'a str) -> Work<'a, bool> {
        Box::pin(async move {
            let exists = self.exists(file).await.map_err(|thrown| self.refused(file, &thrown))?;
            Ok(exists.is_truthy())
        })
    }

    fn read_range<'a>(&'a self, file: &'a str, range: Range<u64>) -> Work<'a, Vec<u8>> {
        Box::pin(async move {
            let bytes = self.read(file, range.start as f64, range.end as f64).await;
            let bytes = bytes.map_err(|thrown| self.refused(file, &thrown))?;
            Ok(bytes.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec).unwrap_or_default())
        })
    }

    fn display(&self, file: &str) -> String {
        self.address(file)
    }
}

impl ModelFiles {
    fn refused(&self, file: &str, thrown: &JsValue) -> Error {
        let reason = match thrown.dyn_ref::<js_sys::Error>() {
            Some(error) => String::from(error.message()),
            None => format!("{thrown:?}"),
        };
        Error::file(self.address(file), reason)
    }
}
