//! The models, each file reading like its paper: Config / Weights / forward.

pub mod autoencoder_kl;
pub mod dit;
mod key_compression;
mod layers;
mod loader;
pub mod patch_embed;
pub mod pixart;
pub mod t5;
mod timestep;
mod transformer_block;

pub use key_compression::KeyCompressionConfig;
pub use loader::{Loader, Scope, Table};
