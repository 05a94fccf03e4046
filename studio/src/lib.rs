//! What the programs around Foveate share, and what belongs to none of them alone: which model and which device are
//! meant, what a picture says about itself, what is painted on one, files that appear whole or not at all, and the text
//! for a bug report.
//!
//! The command line and the desktop app are faces over it, and in a browser the WebAssembly module, which has neither
//! files nor a choice of devices. It has no options, no windows and no loop of its own.

mod colour;
#[cfg(not(target_arch = "wasm32"))]
pub mod device;
#[cfg(not(target_arch = "wasm32"))]
pub mod doctor;
mod marks;
#[cfg(not(target_arch = "wasm32"))]
pub mod memory;
pub mod model;
#[cfg(not(target_arch = "wasm32"))]
pub mod output;
mod painting;
#[cfg(not(target_arch = "wasm32"))]
pub mod paths;
#[cfg(not(target_arch = "wasm32"))]
pub mod photo;
mod picture;
#[cfg(test)]
mod testing;
#[cfg(not(target_arch = "wasm32"))]
pub mod tuning;
#[cfg(not(target_arch = "wasm32"))]
mod vram;

pub use colour::viridis;
pub use marks::Marks;
pub use painting::{Painting, Place};
pub use picture::{About, Origin, png, words};
