//! Requests as JavaScript writes them: the library's own, as JSON has them.

use foveate::{Error, LoadOptions, Request, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const OPTIONS: &str = r#"
/**
 * What to draw: what the command line takes as `--request`, and what pictures carry as text. Fields left out take the
 * model's own defaults.
 */
export interface Request {
    /** For models that draw prompts. */
    prompt?: string;
    /** What guidance steers away from: the empty prompt where left out. */
    negative?: string;
    /** For models that draw classes. */
    class?: number;
    /** Denoising steps. */
    steps?: number;
    /** Classifier-free guidance scale; 1 turns guidance off. */
    guidance?: number;
    /** The seed of torch's CPU generator: 0 where left out. */
    seed?: number;
    /** Width and height in pixels. */
    size?: [number, number];
    /** A run here draws one picture. */
    count?: 1;
    /** Another scheduler than the model's, over its config: "ddim", "euler" and others. */
    scheduler?: string;
    /** Tokens that a prompt is padded or cut to. */
    max_length?: number;
    /** Which tokens are computed. */
    compression?: Compression;
    /** Whether every step tells which tokens it computed. */
    traced?: boolean;
    /** How much of the noise a picture gets, above 0 and up to 1: 0.8 where left out, and 1 with a mask. */
    strength?: number;
    /** A picture to begin with: the file, or its bytes. */
    image?: PictureFile;
    /** What of it is drawn anew: white there, and of its size. The picture's other pixels stay. */
    mask?: PictureFile;
    /**
     * Draws more around the picture: so much left, above, right and below, in pixels or in percent of its side, such as
     * "64,0,25%,0".
     */
    outpaint?: string;
    /** How a picture of another ratio is put on the canvas: "crop" fills it, "pad" shows all of the picture. */
    fit?: "crop" | "pad";
    /** What is drawn fades into the picture over so many pixels around the mask. */
    feather?: number;
}

/** A picture as PNG, JPEG or WebP: a file, or its bytes. */
export type PictureFile = Blob | ArrayBuffer | ArrayBufferView;

/** Which tokens are computed. */
export interface Compression {
    /** One of the model's `policies`, by name: what the checkpoint was made for, else dense, where left out. */
    policy?: string;
    /** The share of the tokens to save: 0.3 computes 70 % of them. As trained, or as published, where left out. */
    ratio?: number;
    /** The policy's parameters, by name. */
    set?: Record<string, string | number | boolean>;
    /** "2", or "every=2,first=1,last=1": only every second step computes the inner blocks. */
    cache?: string;
    /**
     * "10", or "every=10,around=1,decode=1": computes and decodes no more than what is under the mask and around it, and
     * all tokens in every tenth step.
     */
    masked?: string;
}

/** How to hold a model. */
export interface LoadOptions {
    /** How to store matrices: as the files have them where left out. */
    dtype?: "f32" | "f16" | "bf16" | "int8" | "int4";
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
#[serde(default, deny_unknown_fields)]
struct Loading {
    dtype: Option<String>,
}

/// The library's request.
pub fn request(asked: &JsValue) -> Result<Request> {
    let request: Request = read("request", asked)?;
    // Previews, and the pixels that end a run, are of one picture.
    match request.count {
        None | Some(1) => Ok(request),
        Some(count) => Err(Error::Usage(format!("a count of {count}: here a run draws one picture"))),
    }
}

/// The library's load options.
pub fn load_options(given: &JsValue) -> Result<LoadOptions> {
    let Loading { dtype } = read("load options", given)?;
    let dtype = dtype.map(|name| name.parse()).transpose()?;
    Ok(LoadOptions { dtype, ..LoadOptions::default() })
}

/// A value of JavaScript, by way of its JSON.
pub(crate) fn read<T: DeserializeOwned + Default>(what: &str, given: &JsValue) -> Result<T> {
    let wrong = |reason: String| Error::Usage(format!("the {what}: {reason}"));
    if given.is_undefined() || given.is_null() {
        return Ok(T::default());
    }
    let json = js_sys::JSON::stringify(given).map_err(|thrown| wrong(format!("{thrown:?}")))?;
    serde_json::from_str(&String::from(json)).map_err(|error| wrong(error.to_string()))
}
