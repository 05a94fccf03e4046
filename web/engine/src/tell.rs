//! Facts for JavaScript, as plain objects with declared types.

use foveate::graph::{AdapterClass, Caps};
use foveate::pipelines::Kind;
use foveate::{Error, Pipeline};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use crate::failure::{Thrown, failure};

#[wasm_bindgen(typescript_custom_section)]
const FACTS: &str = r#"
/** What the adapter can do. Sizes in bytes. */
export interface AdapterFacts {
    name: string;
    /** Whether the CPU stands in for a GPU. */
    software: boolean;
    f16: boolean;
    maxBinding: number;
    maxBuffer: number;
    maxStorageBuffers: number;
    workgroupMemory: number;
    workgroupThreads: number;
}

/** What a model is, once loaded. */
export interface ModelFacts {
    /** Whether it draws prompts or classes. */
    draws: "prompt" | "class";
    /** The policies it can run. */
    policies: ("dense" | "diffcr" | "mod" | "sdtm" | "tome" | "kv")[];
    /** Learned routing, where the checkpoint has it. */
    routing: null | {
        /** `[regions][layers]`, from the noisiest region to the cleanest: the share of tokens that each layer keeps. */
        keptRatio: number[][];
        /** The mean of all of them. */
        mean: number;
        /** The largest share that the bins allow to save. */
        mostSaved: number;
    };
    defaults: { steps: number; guidance: number };
}
"#;

#[wasm_bindgen]
extern "C" {
    /// The adapter, in JavaScript.
    #[wasm_bindgen(typescript_type = "AdapterFacts")]
    pub type AdapterFacts;
    /// A model, in JavaScript.
    #[wasm_bindgen(typescript_type = "ModelFacts")]
    pub type ModelFacts;
}

/// The adapter's facts.
pub fn adapter(caps: &Caps) -> Thrown<AdapterFacts> {
    object(&json!({
        "name": caps.name,
        "software": caps.class == AdapterClass::Software,
        "f16": caps.f16,
        "maxBinding": caps.max_binding,
        "maxBuffer": caps.max_buffer,
        "maxStorageBuffers": caps.max_storage_buffers,
        "workgroupMemory": caps.workgroup_memory,
        "workgroupThreads": caps.workgroup_threads,
    }))
    .map(JsCast::unchecked_into)
}

/// A model's facts.
pub fn model(pipeline: &Pipeline) -> Thrown<ModelFacts> {
    let (draws, kind, guidance) = match pipeline {
        Pipeline::ClassToImage(_) => ("class", Kind::ClassToImage, 4.0),
        Pipeline::TextToImage(_) => ("prompt", Kind::TextToImage, 4.5),
    };
    let (policies, routing) = match pipeline.routers() {
        Err(_) => (&["dense"][..], Value::Null),
        Ok(routers) => {
            let config = &routers.config;
            let (rows, mean, most) = (config.kept.rows(), config.kept.mean(), config.most_saved());
            (&["dense", "diffcr", "mod"][..], json!({ "keptRatio": rows, "mean": mean, "mostSaved": most }))
        }
    };
    // What takes no training runs on any model.
    let policies = [policies, &["sdtm", "tome", "kv"]].concat();
    let defaults = json!({ "steps": kind.steps(), "guidance": guidance });
    object(&json!({ "draws": draws, "policies": policies, "routing": routing, "defaults": defaults }))
        .map(JsCast::unchecked_into)
}

/// A JSON value as a plain object.
fn object(value: &Value) -> Thrown<JsValue> {
    let unreadable = |thrown: JsValue| failure(Error::Usage(format!("facts: {thrown:?}")));
    js_sys::JSON::parse(&value.to_string()).map_err(unreadable)
}
