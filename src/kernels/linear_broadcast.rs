//! The matrix product on software adapters whose lanes can hand numbers round: a variant of `linear.rs`, with the same
//! parameters and the same passes.

use super::shader;
use crate::graph::{AdapterClass, Caps, Shader};

pub(super) static SHADER: Shader = shader!("linear_broadcast", "product", "activations");

/// Lanes of a subgroup, which is a workgroup of the kernel, where the device can run it: a software adapter, all of whose
/// subgroups have 4 or 8 lanes.
pub(super) fn lanes(caps: &Caps) -> Option<u32> {
    caps.subgroup_lanes.filter(|lanes| caps.class == AdapterClass::Software && [4, 8].contains(lanes))
}
