//! From a model folder to words on the GPU: where the files are, what tensors they hold, how a matrix is stored.
//!
//! [`Source`] reads bytes, [`Checkpoint`] finds tensors in them, [`Format`] lays their rows out as `u32` words. Nothing
//! here reads a whole weight file at once: a checkpoint holds its headers, and rows are read when they are wanted.

mod blocks;
mod checkpoint;
mod format;
mod header;
mod shards;
mod source;
mod values;

pub use checkpoint::Checkpoint;
pub use format::Format;
pub use header::{SourceType, TensorInfo};
pub(crate) use source::{CONFIG, check_whole};
pub use source::{Files, Source};
pub use values::Unfit;
