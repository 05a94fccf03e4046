//! Pictures of the caller's: read upright, widened, fitted to what a model draws, and what was drawn put back in its
//! place.

mod border;
mod decode;
mod frame;
mod original;

pub use border::{Border, Breadth};
pub use decode::{Photo, PhotoMask, check_head};
pub use frame::{Fit, Frame};
pub use original::Original;
