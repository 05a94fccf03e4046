//! Pictures of the caller's: read upright, fitted to what a model draws, and what was drawn put back in its place.

mod decode;
mod frame;
mod original;

pub use decode::{Photo, PhotoMask};
pub use frame::{Fit, Frame};
pub use original::Original;
