//! Attention on GPUs in tiles of 64 queries: a variant of `attention.rs`, with the same parameters and passes.

use super::shader;
use crate::graph::Shader;

pub(super) static SHADER: Shader = shader!("attention_wide", "heads", "outer");
