//! One file per shader: parameters, constructor (which checks shapes), recording, CPU reference, tests.
//!
//! Conventions of every kernel: binding 0 is the uniform `Params`, storage buffers follow in order; numbers are f32,
//! accumulated in f32; rows are contiguous; variants are `override` constants, so each WGSL file is plain and complete.

mod activation;
mod affine;
mod ages;
mod attention;
mod attention_columns;
mod best_match;
mod chunks;
mod conv2d;
mod elementwise;
mod group_norm;
mod groups;
mod joins;
mod linear;
mod merge;
mod norm;
mod patchify;
mod pick;
mod pool_tokens;
mod priorities;
mod residual;
mod rgba;
mod router;
mod rows;
mod scheduler_step;
mod select;
mod sides;
#[cfg(test)]
pub(crate) mod testing;
mod timestep_embedding;
mod unpatchify;
mod window_destinations;
mod window_scores;

pub use activation::{Activation, activation};
pub use affine::{Affine, affine};
pub use ages::{Ages, ages};
pub use attention::{Attention, Columns, attention};
pub use attention_columns::attention_columns;
pub use best_match::{Match, best_match};
pub use conv2d::{Conv2d, conv2d};
pub use elementwise::{add, multiply};
pub use group_norm::{GroupNorm, group_norm};
pub use groups::{Groups, groups};
pub use joins::joins;
pub use linear::{Linear, linear};
pub use merge::merge;
pub use norm::{Modulation, Norm, NormKind, norm};
pub use patchify::patchify;
pub use pick::{Pick, pick};
pub use pool_tokens::{PoolKind, Pooling, pool_tokens};
pub use priorities::priorities;
pub use residual::{Gate, residual};
pub use rgba::{ROW_PIXELS, rgba};
pub use router::{Routing, router};
pub use rows::{Destinations, NOTHING, ReadRows, WriteRows};
pub use scheduler_step::{Guidance, SchedulerStep, scheduler_step, step_row};
pub use select::{Selection, select};
pub use sides::{Sides, sides};
pub use timestep_embedding::{TimestepEmbedding, Timesteps, timestep_embedding};
pub use unpatchify::unpatchify;
pub use window_destinations::window_destinations;
pub use window_scores::window_scores;

use crate::gpu::Shader;

/// Every shader, for tools and tests that go over all of them.
pub static SHADERS: &[&Shader] = &[
    &activation::SHADER,
    &affine::SHADER,
    &ages::SHADER,
    &attention::SHADER,
    &attention_columns::SHADER,
    &best_match::SHADER,
    &conv2d::SHADER,
    &elementwise::SHADER,
    &group_norm::SHADER,
    &groups::SHADER,
    &joins::SHADER,
    &linear::SHADER,
    &merge::SHADER,
    &norm::SHADER,
    &patchify::SHADER,
    &pick::SHADER,
    &pool_tokens::SHADER,
    &priorities::SHADER,
    &residual::SHADER,
    &rgba::SHADER,
    &router::SHADER,
    &scheduler_step::SHADER,
    &select::SHADER,
    &sides::SHADER,
    &timestep_embedding::SHADER,
    &unpatchify::SHADER,
    &window_destinations::SHADER,
    &window_scores::SHADER,
];

/// The WGSL file of this stem.
macro_rules! shader {
    ($stem:literal) => {
        $crate::gpu::Shader { stem: $stem, source: include_str!(concat!("../../shaders/", $stem, ".wgsl")) }
    };
}
pub(crate) use shader;

/// A uniform struct of 4-byte scalars, laid out as WGSL lays out the same fields, with its bytes padded to 16.
/// A test compares each with its shader.
macro_rules! params {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident : $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        struct $name { $($field: $kind),* }

        impl $name {
            /// The struct's bytes in field order, padded to a whole vec4 as uniform layout asks.
            fn bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::new();
                $(bytes.extend_from_slice(&self.$field.to_le_bytes());)*
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                bytes
            }
        }

        #[cfg(test)]
        #[test]
        fn params_match_the_shader() {
            let fields = [$((stringify!($field), stringify!($kind))),*];
            crate::kernels::testing::params_match(&SHADER, &fields);
        }
    };
}
pub(crate) use params;
