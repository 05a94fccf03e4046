//! One file per shader: parameters, constructor (which checks shapes), recording, CPU form, CPU reference, tests. An op
//! without a CPU form of its own is as fast by its reference. A shader that is another op's second pass has its
//! parameters and its recording here, and is tested by that op.
//!
//! Conventions of every kernel: binding 0 is the uniform `Params`, storage buffers follow in order; numbers are f32,
//! accumulated in f32; rows are contiguous; variants are `override` constants, so the WGSL files are plain; what several share is in `shaders/shared/`.

mod activation;
mod affine;
mod ages;
mod attention;
mod attention_broadcast;
mod attention_columns;
mod attention_wide;
mod best_match;
mod blend;
mod chunks;
mod conv2d;
mod crop;
mod elementwise;
mod group_norm;
mod groups;
mod host;
mod join_channels;
mod joins;
mod linear;
mod linear_broadcast;
mod linear_f16;
mod linear_matrix_16;
mod linear_matrix_8;
mod merge;
mod norm;
mod patchify;
mod pick;
mod pool_tokens;
mod priorities;
mod put_rows;
mod residual;
mod rgba;
mod router;
mod rows;
mod scheduler_step;
mod select;
mod sides;
mod sum_slices;
mod tiles;
mod timestep_embedding;
mod unpatchify;
mod window_destinations;
mod window_scores;

use crate::fingerprint::Fingerprint;

pub use activation::{Activation, activation};
pub use affine::{Affine, affine};
pub use ages::{Ages, ages};
pub use attention::{Attention, Columns, attention};
pub use attention_columns::attention_columns;
pub use best_match::{Match, best_match};
pub use blend::{Blend, blend};
pub use conv2d::{Conv2d, conv2d};
pub use crop::crop;
pub use elementwise::{add, multiply};
pub use group_norm::{GroupNorm, group_norm};
pub use groups::{Groups, groups};
pub(crate) use host::vector_name;
pub use join_channels::join_channels;
pub use joins::joins;
pub use linear::{Linear, linear};
pub use merge::merge;
pub use norm::{Modulation, Norm, NormKind, norm};
pub use patchify::patchify;
pub use pick::{Pick, pick};
pub use pool_tokens::{PoolKind, Pooling, pool_tokens};
pub use priorities::priorities;
pub use put_rows::put_rows;
pub use residual::{Gate, residual};
pub use rgba::{ROW_PIXELS, rgba};
pub use router::{Routing, router};
pub use rows::{Destinations, NOTHING, ReadRows, WriteRows};
pub use scheduler_step::{Guidance, SchedulerStep, scheduler_step, step_row};
pub use select::{Selection, select};
pub use sides::{Sides, sides};
pub use tiles::{PRODUCT_TILES, ProductShape, Tile, Tiling, tiling, tilings, tilings_in_halves, tilings_in_units};
pub use timestep_embedding::{TimestepEmbedding, Timesteps, timestep_embedding};
pub use unpatchify::unpatchify;
pub use window_destinations::window_destinations;
pub use window_scores::window_scores;

use crate::graph::Shader;

/// Every shader, for tools and tests that go over all of them.
pub static SHADERS: &[&Shader] = &[
    &activation::SHADER,
    &affine::SHADER,
    &ages::SHADER,
    &attention::SHADER,
    &attention_broadcast::SHADER,
    &attention_columns::SHADER,
    &attention_wide::SHADER,
    &best_match::SHADER,
    &blend::SHADER,
    &conv2d::SHADER,
    &crop::SHADER,
    &elementwise::SHADER,
    &group_norm::SHADER,
    &groups::SHADER,
    &join_channels::SHADER,
    &joins::SHADER,
    &linear::SHADER,
    &linear_broadcast::SHADER,
    &linear_f16::SHADER,
    &linear_matrix_16::SHADER,
    &linear_matrix_8::SHADER,
    &merge::SHADER,
    &norm::SHADER,
    &patchify::SHADER,
    &pick::SHADER,
    &pool_tokens::SHADER,
    &priorities::SHADER,
    &put_rows::SHADER,
    &residual::SHADER,
    &rgba::SHADER,
    &router::SHADER,
    &scheduler_step::SHADER,
    &select::SHADER,
    &sides::SHADER,
    &sum_slices::SHADER,
    &timestep_embedding::SHADER,
    &unpatchify::SHADER,
    &window_destinations::SHADER,
    &window_scores::SHADER,
];

/// The WGSL file of this stem, and behind it the files of `shaders/shared/` that it uses. Declarations of WGSL may stand
/// in any order, so files put one behind the other are one module.
macro_rules! shader {
    ($stem:literal $(, $shared:literal)*) => {
        $crate::graph::Shader::new($stem, concat!(
            include_str!(concat!("../../shaders/", $stem, ".wgsl"))
            $(, include_str!(concat!("../../shaders/shared/", $shared, ".wgsl")))*
        ))
    };
}
use shader;

/// A hash of the shaders whose variants are chosen between: what was measured of others says nothing about these.
pub fn fingerprint() -> String {
    let mut hash = Fingerprint::default();
    let products = [&linear::SHADER, &linear_broadcast::SHADER, &linear_f16::SHADER, &sum_slices::SHADER];
    let on_units = [&linear_matrix_8::SHADER, &linear_matrix_16::SHADER];
    let attention = [&attention::SHADER, &attention_broadcast::SHADER, &attention_wide::SHADER];
    hash.add_all(products.into_iter().chain(on_units).chain(attention).map(|shader| shader.source));
    format!("{:016x}", hash.value())
}

/// [`crate::params!`], and the test that compares it with its shader.
macro_rules! params {
    ($($tokens:tt)*) => {
        $crate::params! { $($tokens)* }

        #[cfg(test)]
        #[test]
        fn params_match_the_shader() {
            $crate::testing::params_match(&SHADER, Params::FIELDS);
        }
    };
}
use params;

#[cfg(test)]
mod tests {
    use super::SHADERS;

    /// Shaders with subgroup operations.
    const SUBGROUP_SHADERS: [&str; 2] = ["attention_broadcast", "linear_broadcast"];
    /// Shaders that multiply in f16.
    const F16_SHADERS: [&str; 1] = ["linear_f16"];
    /// Shaders that multiply on matrix units.
    const MATRIX_SHADERS: [&str; 2] = ["linear_matrix_16", "linear_matrix_8"];

    #[test]
    fn every_shader_is_valid_and_keeps_to_the_conventions() {
        for shader in SHADERS {
            let module = naga::front::wgsl::parse_str(shader.source)
                .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(shader.source, shader.name)));
            // Core WebGPU and no more; naga counts unpack2x16float as a capability, for old OpenGL's sake. Shaders that
            // only devices with subgroups compile are files of their own.
            let mut allowed = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
            if SUBGROUP_SHADERS.contains(&shader.name) {
                allowed |= naga::valid::Capabilities::SUBGROUP;
            }
            if F16_SHADERS.contains(&shader.name) {
                allowed |= naga::valid::Capabilities::SHADER_FLOAT16;
            }
            if MATRIX_SHADERS.contains(&shader.name) {
                use naga::valid::Capabilities;
                allowed |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16;
            }
            let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), allowed)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}.wgsl: {e:?}", shader.name));
            let storage = |v: &&naga::GlobalVariable| matches!(v.space, naga::AddressSpace::Storage { .. });
            for (index, _) in module.entry_points.iter().enumerate() {
                let used = module.global_variables.iter().filter(|(h, _)| !info.get_entry_point(index)[*h].is_empty());
                assert!(used.map(|(_, v)| v).filter(storage).count() <= 8, "{}: over 8 storage buffers", shader.name);
            }
        }
    }

    #[test]
    fn every_shader_file_has_its_rust_twin_and_its_place_in_the_table() {
        let stems = stems_in("shaders");
        let mut listed: Vec<_> = SHADERS.iter().map(|s| s.name.to_owned()).collect();
        listed.sort();
        assert_eq!(stems, listed);
        for stem in stems {
            let twin = format!("{}/src/kernels/{stem}.rs", env!("CARGO_MANIFEST_DIR"));
            assert!(std::path::Path::new(&twin).exists(), "{stem}.wgsl has no {twin}");
        }
    }

    #[test]
    fn every_shared_file_is_in_a_shader() {
        for stem in stems_in("shaders/shared") {
            let path = format!("{}/shaders/shared/{stem}.wgsl", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            assert!(SHADERS.iter().any(|shader| shader.source.contains(&text)), "no shader has shared/{stem}.wgsl");
        }
    }

    /// The stems of the WGSL files of a folder, sorted.
    fn stems_in(folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let mut stems: Vec<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        stems.sort();
        stems
    }
}
