//! Foveate runs diffusion transformers where the detail is: each picture token gets only the layers and the timesteps
//! that it needs. It is a portable WebGPU inference engine. It runs natively (Vulkan, Metal, DX12), in a browser, and
//! on the device of a program that uses wgpu itself.
//!
//! # A picture
//!
//! ```
//! use foveate::{Gpu, LoadOptions, Pipeline, Request, Source};
//!
//! # fn main() -> foveate::Result<()> {
//! # let folder = tempfile::tempdir().map_err(|error| foveate::Error::io("a folder", error))?;
//! # let path = folder.path().join("house.png");
//! # pollster::block_on(async {
//! let gpu = Gpu::request(Default::default()).await?; // or Gpu::from_wgpu(&adapter, device, queue)?
//! let model = Source::parse(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model"));
//! let pipeline = Pipeline::load(&gpu, model, LoadOptions::default(), |_| {}).await?;
//!
//! let request = Request { steps: Some(4), seed: 9, ..Request::prompt("a red house") };
//! let mut run = pipeline.prepare(&request).await?;
//! while let Some(step) = run.next_step() {
//!     let mut encoder = gpu.encoder(); // or the encoder of your own frame
//!     step.encode(&mut encoder)?;
//!     gpu.submit(encoder);
//! }
//! run.finish().await?.save(0, &path)?; // or run.texture().await? without reading back
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! `pipeline.generate(&request).await?` is the short form. A model is a folder as diffusers saves it; this one is tiny
//! and random, and lies in the crate for examples.
//!
//! # The map
//!
//! | to | see |
//! |---|---|
//! | load a model and draw | [`Pipeline`], [`Source`], [`LoadOptions`] |
//! | say what to draw | [`Request`], [`Compression`] |
//! | own the loop: progress, previews, cancelling, resuming | [`Run`], [`Step`], [`Viewer`], [`RunState`] |
//! | share a device with a renderer | [`Gpu::from_wgpu`], [`Step::encode_slice`], [`Viewer::encode_slice`] |
//! | open a device for it | [`required_limits`], [`optional_features`] |
//! | compile off the frame, bound memory | [`Pipeline::prepare_with`], [`Gpu::set_max_memory`], [`Gpu::memory`] |
//! | see which tokens were computed | [`Run::trace`] |
//! | change a picture, or fill in a part of one | [`photo`] |
//! | write a compression policy | [`compress`] |
//! | add a family of models | [`models`] |
//! | add a scheduler | [`schedulers`] |
//! | write kernels, run graphs, bring another device | [`low_level`] |
//!
//! Policies, families and schedulers of your own go into a [`Registry`], which [`LoadOptions`] carries. The folder
//! `examples/` has programs to start from.
//!
//! # Features
//!
//! - `http`: models by address ([`Source::Url`]).
//! - `testing`: the harness that holds kernels to their references, for crates with kernels of their own.
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "in a browser nothing leaves its thread")
)]

pub mod compress;
pub mod models;
pub mod photo;
pub mod schedulers;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

mod area;
mod device;
mod error;
mod fingerprint;
mod gpu;
mod graph;
mod kernels;
mod loading;
mod memory;
mod pipeline;
mod refusal;
mod request;
mod rng;
mod shared;
mod size;
mod tensor;
mod text;
mod tokenizer;
mod tuning;
mod weights;

pub use area::Area;
pub use compress::Compression;
pub use device::Device;
pub use error::{Context, Error, Result};
pub use gpu::{Gpu, GpuOptions, optional_features, required_features, required_limits};
pub use graph::Arithmetic;
pub use memory::MemoryUse;
pub use pipeline::{
    Compiling, LayerTrace, LoadOptions, Model, Pictures, Pipeline, Progress, Registry, Run, RunState, Step, Traced,
    Viewer,
};
pub use refusal::{Refusal, Warning};
pub use request::{Embeds, Ids, Request};
pub use size::{Grid, Size};
pub use tensor::Tensor;
pub use weights::{Format, Source};
pub use wgpu;

/// What pipelines are built on: graphs as data, kernels, devices, files. Policies and models of other crates use it.
///
/// From the bottom up: a [`graph`](low_level::graph) is printable data; [`kernels`](low_level::kernels) are the ops in
/// it; a [`device`](low_level::device) compiles and runs it; [`loading`](low_level::loading) brings a model's files
/// there.
pub mod low_level {
    /// Where graphs run: the seam between a graph and what executes it.
    pub mod device {
        pub use crate::device::*;
    }
    /// The GPU by wgpu, and what only a GPU has: encoders, timestamps, textures.
    pub mod gpu {
        pub use crate::gpu::*;
    }
    /// A computation as printable data, and what an op is.
    pub mod graph {
        pub use crate::graph::*;
    }
    /// The ops: one file each, with shader, constructor and CPU reference.
    pub mod kernels {
        pub use crate::kernels::*;
    }
    /// A model's folder, its configs field by field, its tensors name by name.
    pub mod loading {
        pub use crate::loading::*;
    }
    /// The account of a device's memory.
    pub mod memory {
        pub use crate::memory::*;
    }
    /// The parts of a pipeline that programs measure and inspect.
    pub mod pipeline {
        pub use crate::pipeline::{FIRST_NOISE, GUIDED, LATENTS, PREDICTION, Parts, StepSize, TransformerSteps};
    }
    /// torch's random numbers.
    pub mod rng {
        pub use crate::rng::*;
    }
    /// What may move between threads natively, and cannot in a browser.
    pub mod shared {
        pub use crate::shared::{Shared, Work};
    }
    /// Tensors in host memory.
    pub mod tensor {
        pub use crate::tensor::*;
    }
    /// Text of strangers as people may read it.
    pub mod text {
        pub use crate::text::*;
    }
    /// Text to tokens.
    pub mod tokenizer {
        pub use crate::tokenizer::*;
    }
    /// Which variants of the kernels are fastest on an adapter: measured, kept, taken.
    pub mod tuning {
        pub use crate::tuning::*;
    }
    /// Files: safetensors, storage formats, sources.
    pub mod weights {
        pub use crate::weights::*;
    }
}

/// The README's program, which the documentation's tests compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
