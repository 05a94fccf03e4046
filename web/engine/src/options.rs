//! Requests as JavaScript writes them.

use std::collections::BTreeMap;

use foveate::weights::Format;
use foveate::{Error, LoadOptions, Request, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const OPTIONS: &str = r#"
/** What to draw. Fields left out take the model's own defaults. */
export interface Request {
    prompt?: string;
    negative?: string;
    /** For models that draw classes. */
    class?: number;
    steps?: number;
    /** Classifier-free guidance scale; 1 turns guidance off. */
    guidance?: number;
    /** The seed of torch's CPU generator. */
    seed?: number;
    /** Width and height in pixels. */
    size?: [number, number];
    scheduler?: string;
    /** What to compute: "auto" is what the checkpoint was made for. */
    policy?: "auto" | "dense" | "diffcr" | "mod" | "sdtm" | "tome" | "kv";
    /** The share of tokens to save. */
    ratio?: number;
    /** Parameters of the policy by name, as the command line's `--set` takes them. */
    set?: Record<string, string>;
    /** "2", or "every=2,first=1,last=1": compute the inner blocks only at every second step. */
    stepCache?: string;
    /** Whether every step tells which tokens it computed. */
    tokens?: boolean;
}

/** How to hold a model. */
export interface LoadOptions {
    /** How to store matrices: as the files have them where left out. */
    dtype?: "f32" | "f16" | "int8" | "int4";
}
"#;

#[wasm_bindgen]
extern "C" {
    /// `Request` in JavaScript.
    #[wasm_bindgen(typescript_type = "Request")]
    pub type JsRequest;
    /// `LoadOptions` in JavaScript.
    #[wasm_bindgen(typescript_type = "LoadOptions | undefined")]
    pub type JsLoadOptions;
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    prompt: String,
    negative: Option<String>,
    class: Option<u32>,
    steps: Option<usize>,
    guidance: Option<f32>,
    seed: u64,
    size: Option<[usize; 2]>,
    scheduler: Option<String>,
    policy: Option<String>,
    ratio: Option<f64>,
    set: BTreeMap<String, String>,
    step_cache: Option<String>,
    tokens: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Loading {
    dtype: Option<String>,
}

/// The library's request.
pub fn request(asked: &JsValue) -> Result<Request> {
    let Asked {
        prompt,
        negative,
        class,
        steps,
        guidance,
        seed,
        size,
        scheduler,
        policy,
        ratio,
        set,
        step_cache,
        tokens,
    } = read("request", asked)?;
    let compress = match policy.as_deref() {
        None | Some("auto") => Default::default(),
        Some(name) => name.parse()?,
    };
    Ok(Request {
        prompt,
        negative,
        class,
        steps,
        guidance,
        seed,
        size,
        scheduler,
        compress,
        ratio,
        set: set.into_iter().collect(),
        step_cache: step_cache.map(|text| text.parse()).transpose()?,
        traced: tokens,
        ..Default::default()
    })
}

/// The library's load options.
pub fn load_options(given: &JsValue) -> Result<LoadOptions> {
    let Loading { dtype } = read("load options", given)?;
    let format = |name: String| match name.as_str() {
        "f32" => Ok(Format::F32),
        "f16" => Ok(Format::F16),
        "int8" => Ok(Format::Int8),
        "int4" => Ok(Format::Int4),
        _ => Err(Error::Usage(format!("no dtype {name:?}: there are f32, f16, int8, int4"))),
    };
    Ok(LoadOptions { dtype: dtype.map(format).transpose()? })
}

fn read<T: DeserializeOwned + Default>(what: &str, given: &JsValue) -> Result<T> {
    let wrong = |reason: String| Error::Usage(format!("the {what}: {reason}"));
    if given.is_undefined() || given.is_null() {
        return Ok(T::default());
    }
    let json = js_sys::JSON::stringify(given).map_err(|thrown| wrong(format!("{thrown:?}")))?;
    serde_json::from_str(&String::from(json)).map_err(|error| wrong(error.to_string()))
}
