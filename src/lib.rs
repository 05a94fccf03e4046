//! Foveate runs diffusion transformers where the detail is: a portable WebGPU inference engine.
//!
//! The floors, each using only those below it, are told in `ARCHITECTURE.md`.

pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod rng;
pub mod schedulers;
pub mod tensor;
pub mod tokenizer;
pub mod weights;

mod error;

pub use error::{Context, Error, Result};
pub use gpu::{Gpu, GpuOptions};
pub use tensor::Tensor;
pub use wgpu;
