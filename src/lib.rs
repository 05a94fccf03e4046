//! Foveate runs diffusion transformers where the detail is: a portable WebGPU inference engine.
//!
//! The floors, each using only those below it, are told in `ARCHITECTURE.md`.
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "in a browser nothing leaves its thread")
)]

pub mod compress;
pub mod config;
pub mod device;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod models;
pub mod pipelines;
pub mod rng;
pub mod schedulers;
pub mod shared;
pub mod tensor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tokenizer;
pub mod weights;

mod error;

pub use device::Device;
pub use error::{Context, Error, Result};
pub use gpu::{Gpu, GpuOptions};
pub use pipelines::{ClassToImage, Compress, LoadOptions, Pictures, Pipeline, Progress, Request, Run, TextToImage};
pub use tensor::Tensor;
pub use weights::Source;
pub use wgpu;
