//! What models are made of: each part reads its own tensors and adds its own ops.

mod key_compression;
mod layers;
mod patch_embed;
mod timestep;
mod transformer_block;

pub use key_compression::{KeyCompression, KeyCompressionConfig};
pub use layers::{LayerNorm, Linear, RmsNorm, attend_packed};
pub use patch_embed::{POSITIONS, PatchEmbed, positions};
pub use timestep::TimestepEmbedding;
pub use transformer_block::{BlockConfig, CrossAttention, FeedForward, SelfAttention};
