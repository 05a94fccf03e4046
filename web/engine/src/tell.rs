//! Facts for JavaScript, as plain objects with declared types.

use foveate::compress::{Compression, PolicyKind, Routers, Traces};
use foveate::low_level::graph::AdapterClass;
use foveate::models::Draws;
use foveate::{Device, Error, Gpu, Pipeline};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use crate::failure::{Thrown, failure};

#[wasm_bindgen(typescript_custom_section)]
const FACTS: &str = r#"
/** What the adapter can do. Sizes in bytes. */
export interface AdapterFacts {
    /** A GPU by WebGPU, or the processor by WebAssembly. */
    kind: "gpu" | "cpu";
    name: string;
    /** The driver, where the browser tells; of the processor its threads and vectors. */
    driver: string;
    /** Whether the CPU stands in for a GPU. */
    software: boolean;
    f16: boolean;
    maxBinding: number;
    maxBuffer: number;
    maxStorageBuffers: number;
    workgroupMemory: number;
    workgroupThreads: number;
    /** The name of the measured choices that kernels follow; null where they follow estimates. */
    tuning: string | null;
}

/** What a model is, once loaded. */
export interface ModelFacts {
    /** Whether it draws prompts or classes. */
    draws: "prompt" | "class";
    /** The policies it can run. */
    policies: PolicyFacts[];
    /** Learned routing, where the checkpoint has it. */
    routing: null | {
        /** `[regions][layers]`, from the noisiest region to the cleanest: the share of tokens that each layer keeps. */
        keptRatio: number[][];
        /** The mean of all of them. */
        mean: number;
        /** The largest share that the bins allow to save. */
        mostSaved: number;
    };
    /** What a request takes that does not say. */
    defaults: { steps: number; guidance: number; policy: string };
}

/** A policy that a request can name. */
export interface PolicyFacts {
    name: string;
    /** What it does, in a few words. */
    summary: string;
    /** Whether a request can give it a ratio. */
    ratio: boolean;
    /** What became of tokens that a `traced` step did not compute: they went past a layer, or shared the row of another. */
    traces: "kept" | "merged" | null;
    /** Whether it can choose among the tokens under a mask: `masked`. */
    masked: boolean;
    /** What `set` can hold. A default is empty where the policy chooses. */
    parameters: { name: string; default: string; help: string }[];
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
pub fn adapter(device: &Device) -> Thrown<AdapterFacts> {
    let caps = device.caps();
    object(&json!({
        "kind": if device.executor::<Gpu>().is_some() { "gpu" } else { "cpu" },
        "name": caps.name,
        "driver": caps.driver,
        "software": caps.class == AdapterClass::Software,
        "f16": caps.f16,
        "maxBinding": caps.max_binding,
        "maxBuffer": caps.max_buffer,
        "maxStorageBuffers": caps.max_storage_buffers,
        "workgroupMemory": caps.workgroup_memory,
        "workgroupThreads": caps.workgroup_threads,
        "tuning": caps.choices.name(),
    }))
    .map(JsCast::unchecked_into)
}

/// A model's facts.
pub fn model(pipeline: &Pipeline) -> Thrown<ModelFacts> {
    let (habits, trained) = (pipeline.habits(), pipeline.trained());
    let known = &pipeline.model().registry().policies;
    let usual = known.chosen(&Compression::default(), trained).map_err(failure)?;
    let draws = match habits.draws {
        Draws::Classes => "class",
        Draws::Prompts => "prompt",
    };
    let masked = |kind: &dyn PolicyKind| {
        let policy = known.policy(&Compression::policy(kind.name()), trained, 0, false);
        policy.is_ok_and(|policy| policy.chooses_among())
    };
    let policies: Vec<Value> = known.runnable(trained).map(|kind| policy(kind, masked(kind))).collect();
    let routing = Routers::of(trained).map(|routers| {
        let config = &routers.config;
        json!({ "keptRatio": config.kept.rows(), "mean": config.kept.mean(), "mostSaved": config.most_saved() })
    });
    let defaults = json!({ "steps": habits.steps, "guidance": habits.guidance, "policy": usual.name() });
    object(&json!({ "draws": draws, "policies": policies, "routing": routing, "defaults": defaults }))
        .map(JsCast::unchecked_into)
}

fn policy(kind: &dyn PolicyKind, masked: bool) -> Value {
    let traces = match kind.traces() {
        Traces::Nothing => None,
        Traces::Kept => Some("kept"),
        Traces::Merged => Some("merged"),
    };
    let parameters = kind.parameters().iter();
    let parameters = parameters.map(|of| json!({ "name": of.name, "default": of.default, "help": of.help }));
    json!({
        "name": kind.name(),
        "summary": kind.summary(),
        "ratio": kind.no_ratio().is_none(),
        "traces": traces,
        "masked": masked,
        "parameters": parameters.collect::<Vec<_>>(),
    })
}

/// A JSON value as a plain object.
fn object(value: &Value) -> Thrown<JsValue> {
    let unreadable = |thrown: JsValue| failure(Error::Usage(format!("facts: {thrown:?}")));
    js_sys::JSON::parse(&value.to_string()).map_err(unreadable)
}
