//! Foveate runs diffusion transformers where the detail is: a portable WebGPU inference engine.
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "in a browser nothing leaves its thread")
)]

pub mod compress;
pub mod device;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod loading;
pub mod models;
pub mod pipeline;
pub mod rng;
pub mod schedulers;
pub mod tensor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tokenizer;
pub mod weights;

mod error;
mod refusal;
mod request;
mod shared;
mod size;

pub use compress::Compression;
pub use device::Device;
pub use error::{Context, Error, Result};
pub use gpu::{Gpu, GpuOptions};
pub use pipeline::{LoadOptions, Pictures, Pipeline, Progress, Run, Step};
pub use refusal::{Refusal, Warning};
pub use request::{Embeds, Ids, Request};
pub use shared::{Shared, Work};
pub use size::{Grid, Size};
pub use tensor::Tensor;
pub use weights::Source;
pub use wgpu;
