//! The second pass of a matrix product whose k was shared out over workgroups (`linear.rs`): adds the slices, then does
//! all that follows the sum.

use super::{Activation, params, shader};
use crate::graph::{Caps, Dispatch, Shader};

pub(super) static SHADER: Shader = shader!("sum_slices", "activations");

params! {
    /// Uniform of `sum_slices.wgsl`.
    struct Params { base: u32, count: u32, width: u32, slices: u32 }
}

/// Adds `slices` partial sums of `[rows, width]`. The caller says which pass binds them, bias, row weights and result.
pub(super) fn sum_slices(
    [slices, rows, width]: [usize; 3],
    (bias, weighted): (bool, bool),
    activation: Activation,
    caps: &Caps,
) -> Dispatch {
    let count = rows * width;
    let params = Params { base: 0, count: count as u32, width: width as u32, slices: slices as u32 };
    Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(64) as u64))
        .divisible()
        .light()
        .constant("BIAS", bias)
        .constant("WEIGHTED", weighted)
        .constant("ACTIVATION", activation.id())
}
