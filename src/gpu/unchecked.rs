//! Kernels without run-time checks, and on features that wgpu calls experimental. This is the one file with `unsafe`
//! code, and the audit behind it.
//!
//! wgpu adds to each shader what WGSL promises: an index beyond an array stays inside it, and every loop ends. On Metal
//! and Direct3D each index is clamped; everywhere the index into workgroup memory is, and every loop counts its rounds
//! in 64 bits. In the inner loop of a matrix product that costs a part of the speed. So the ops of [`AUDITED`] run without.
//! A browser checks all the same.
//!
//! # What each relies on
//!
//! Of all of them: the constructor has checked the shapes of all values, and the fields of `Params` follow from the
//! shapes alone. [`Gpu::leaves_out_checks`](super::Gpu) asks that no value is empty, [`Gpu::part`](super::Gpu) that each
//! buffer holds its value. Other crates can neither push these ops with other values, nor have their own dispatches of
//! these shaders run without checks: it is the node of the graph that carries the permission. Contents of buffers prove
//! nothing, since hosts write them: an index that is read from one is clamped.
//!
//! | op | indices | loops |
//! |---|---|---|
//! | `linear`, `linear_broadcast`, `linear_f16`, `linear_matrix_8`, `linear_matrix_16`, `sum_slices` | rows of x and W are clamped to the last, k to the row; a row map's index to the sample's rows; results are stored within rows and columns; places in workgroup memory follow from the thread and the tile (`tiles.rs` tests that a tile fits) | to k, by `K_STEP`, 4 or 64; to `slices`; over blocks, by the subgroups of the workgroup, of which there is one or more |
//! | `attention`, `attention_broadcast`, `attention_wide` | queries and keys are clamped to the last, columns to the head; results are stored within queries and the head | to keys and the head's columns |
//! | `attention_columns` | the same of both sides | to keys, queries, heads and the head's columns |
//! | `best_match` | sources and destinations are clamped to the last, channels to the row; what is stored as an index is clamped, and never read as one here | to destinations, channels and slices |
//! | `conv2d` | a pixel outside the image reads the first one, and counts as zero; output channels are clamped to the last; results are stored within channels and the row | over taps; a piece of them has one row or more, since a kernel's width is bounded |
//! | `group_norm` | begin and end of a piece are clamped to its group or channel | over a piece |
//! | `norm` | rows are clamped to the last, a row map's index to the sample's rows; channels end with the row | over channels and sources |
//!
//! # How it is tested
//!
//! Every sweep of these ops runs three ways ([`Case::agrees_on`](crate::testing::Case)): without checks; with them, in
//! slices, to the same bytes; and in this second run each index is compared with what it indexes (`watch.rs`), in
//! storage, in workgroup memory and in registers. Of a matrix that is loaded or stored as a whole, that is its first
//! number; the last one is within the tile as `tiles.rs` cuts it, by 32 rows and columns.
#![allow(unsafe_code, reason = "wgpu leaves out checks for whoever promises that they are not needed")]

use crate::graph::{Graph, Op};

/// The ops that run without checks, by their names.
#[cfg(test)]
pub(crate) const AUDITED: [&str; 7] =
    ["linear", "attention", "attention_columns", "best_match", "conv2d", "group_norm", "norm"];

impl Graph {
    /// Appends an op of another crate whose kernels run without bounds checks, and without a bound on their loops.
    /// [`Graph::push`] is the safe way, and nearly as fast for most kernels.
    ///
    /// # Safety
    ///
    /// Whatever lies in the buffers, every dispatch that the op records for this graph must index within what it
    /// indexes (storage buffers, workgroup memory, arrays, vectors), and each of its loops must end. An index that is
    /// read from a buffer must be clamped. The values that it binds are not empty then, and their buffers are as large
    /// as their shapes say; of more the device makes sure nowhere. [`Case`](crate::testing::Case) watches every index
    /// of an op in tests.
    pub unsafe fn push_unchecked(&mut self, op: impl Op + 'static) {
        self.push_audited(op);
    }
}

/// A module without bounds checks, and without a bound on the rounds of loops. Divisors are still checked, which costs
/// nothing in an inner loop.
pub(super) fn module(device: &wgpu::Device, descriptor: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: false,
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: only kernels of nodes that carry the permission come here. It is given by `Graph::push_audited`, for the
    // reasons above, and by `Graph::push_unchecked`, whose callers have promised it.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}

/// Allows features that wgpu calls experimental: matrix units (`shared/matrix_tiles.wgsl`).
pub(super) fn experimental() -> wgpu::ExperimentalFeatures {
    // SAFETY: what is asked for is that one knows of possible errors in wgpu and drivers. Of this feature the kernels use
    // loads and stores in workgroup memory, whose places are audited above, and multiplication; all lanes of a subgroup
    // do so together, as Vulkan demands. The workgroup's threads are whole subgroups.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// Whether the environment asks for all checks.
pub(super) fn are_checks_asked_for() -> bool {
    std::env::var_os("FOVEATE_CHECKED").is_some_and(|value| value == "1")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The files below a folder whose text has `needle`, without their folders.
    fn files_with(folder: &Path, needle: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && name != "node_modules" {
                files_with(&path, needle, found);
            } else if name.ends_with(".rs") && std::fs::read_to_string(&path).unwrap().contains(needle) {
                found.push(name);
            }
        }
    }

    #[test]
    fn this_is_the_only_file_with_unsafe_code() {
        let mut found = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // Spelt in two, so that the needle is only where the lint is allowed.
        files_with(root, concat!("allow(", "unsafe_code"), &mut found);
        assert_eq!(found, ["unchecked.rs"]);
    }

    #[test]
    fn exactly_the_audited_ops_ask_to_run_without_checks() {
        let mut found = Vec::new();
        files_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels"), "push_audited", &mut found);
        let mut audited: Vec<String> = AUDITED.iter().map(|op| format!("{op}.rs")).collect();
        found.sort();
        audited.sort();
        assert_eq!(found, audited);
    }
}
