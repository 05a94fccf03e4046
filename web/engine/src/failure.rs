//! Errors as JavaScript has them: the kind as `name`, the whole chain of causes as `message`.

use foveate::Error;
use wasm_bindgen::prelude::*;

/// What everything here returns.
pub type Thrown<T> = Result<T, JsValue>;

#[wasm_bindgen(typescript_custom_section)]
const KINDS: &str = r#"
/** The `name` of what is thrown here. */
export type FailureKind =
    | "Usage" | "File" | "Model" | "NoAdapter" | "Limit" | "OutOfMemory" | "Picture" | "Gpu" | "DeviceLost"
    | "Cancelled";
"#;

/// The error to throw.
pub fn failure(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.chain().join(": "));
    thrown.set_name(kind(error.root()));
    thrown.into()
}

/// The error to throw where a picture was read: what cannot be read is the caller's, and no file of a model.
pub fn unreadable(error: Error) -> JsValue {
    let file = matches!(error.root(), Error::File { .. });
    let thrown = failure(error);
    if let (true, Some(thrown)) = (file, thrown.dyn_ref::<js_sys::Error>()) {
        thrown.set_name("Picture");
    }
    thrown
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Usage(_) | Error::Refused(_) => "Usage",
        Error::Io { .. } | Error::File { .. } => "File",
        Error::Config { .. } | Error::Tensor { .. } | Error::Shape { .. } => "Model",
        Error::NoAdapter(_) => "NoAdapter",
        Error::Limit { .. } => "Limit",
        Error::OutOfMemory(_) => "OutOfMemory",
        Error::DeviceLost(_) => "DeviceLost",
        Error::Cancelled => "Cancelled",
        _ => "Gpu",
    }
}
