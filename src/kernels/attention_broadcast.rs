//! Attention on software adapters whose lanes can hand numbers round ([`Caps::broadcast_lanes`]): a variant of
//! `attention.rs`, with the same parameters and passes.
//!
//! [`Caps::broadcast_lanes`]: crate::graph::Caps::broadcast_lanes

use super::shader;
use crate::graph::Shader;

pub(super) static SHADER: Shader = shader!("attention_broadcast", "heads", "attend", "lanes");
