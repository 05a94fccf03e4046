//! Checkpoints as diffusers writes them, and how their tensors lie on the GPU.

mod format;

pub use format::Format;
