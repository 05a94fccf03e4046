//! The matrix product in f16, on hardware that has it ([`Caps::multiplies_in_f16`]): a variant of `linear.rs`, with the same
//! parameters and passes.
//!
//! [`Caps::multiplies_in_f16`]: crate::graph::Caps::multiplies_in_f16

use super::shader;
use crate::graph::Shader;

pub(super) static SHADER: Shader = shader!("linear_f16", "product", "eights", "activations");
