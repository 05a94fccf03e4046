//! What the programs around Foveate share, and what belongs to none of them alone: which model and which device are
//! meant, what a picture says about itself, files that appear whole or not at all, and the text for a bug report.
//!
//! The command line and the desktop app are faces over it. It has no options, no windows and no loop of its own.

mod colour;
pub mod device;
pub mod doctor;
pub mod memory;
pub mod model;
pub mod output;
pub mod paths;
pub mod photo;
mod picture;
mod vram;

pub use colour::viridis;
pub use picture::{About, Origin, words};
