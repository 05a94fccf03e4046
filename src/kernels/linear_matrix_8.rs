//! The matrix product on matrix units of 8×8 numbers ([`Caps::matrix_units`]): a variant of `linear.rs`, with the same
//! parameters and passes.
//!
//! [`Caps::matrix_units`]: crate::graph::Caps::matrix_units

use super::shader;
use crate::graph::Shader;

pub(super) static SHADER: Shader = shader!("linear_matrix_8", "matrix_tiles", "product", "eights", "activations");
