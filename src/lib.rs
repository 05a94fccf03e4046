//! Foveate runs diffusion transformers where the detail is: a portable WebGPU inference engine.
//!
//! The floors, each using only those below it, are told in `ARCHITECTURE.md`.

mod error;
pub mod schedulers;

pub use error::{Context, Error, Result};
