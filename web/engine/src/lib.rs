//! Foveate in a browser: the same core, compiled to WebAssembly, on WebGPU through wgpu. This is what the worker of the
//! JavaScript package talks to; pages use the package (`web/api`), which adds the worker, cancelling and recovery.
//!
//! Everything that awaits may fail, and throws an `Error` whose `name` is the kind of failure (see [`failure`]).
#![cfg(target_arch = "wasm32")]

mod beginning;
mod engine;
mod failure;
mod files;
mod model;
mod options;
mod painted;
mod picture;
mod run;
mod screen;
mod tell;

pub use beginning::{Beginning, Look, check_head, look};
pub use engine::Engine;
pub use model::Model;
pub use painted::painted;
pub use picture::{Picture, png};
pub use run::{Run, Step, TokenMap};
pub use screen::Screen;

/// The engine's version, which pictures name.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// Starts so many threads for the processor, as workers; before the first `Engine`. Only the module that is built for
/// threads has it.
#[cfg(target_feature = "atomics")]
pub use wasm_bindgen_rayon::init_thread_pool;
