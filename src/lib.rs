//! Foveate runs diffusion transformers where the detail is: a portable WebGPU inference engine.
//!
//! The floors, each using only those below it, are told in `ARCHITECTURE.md`.

mod error;
pub mod rng;
pub mod tokenizer;
pub mod weights;

pub use error::{Context, Error, Result};
