//! Fuzzing foveate: what strangers hand to it, and kernels of any shape.
//!
//! | | |
//! |---|---|
//! | [`targets`] | what is fuzzed: plain functions of bytes, and inputs to start from |
//! | [`mutate`] | changes to inputs that know what they change |
//! | [`outcome`] | what came of an input, and whether its errors can be read |
//! | [`archive`], [`goldens`] | folders as inputs |
//!
//! libFuzzer runs the targets through `fuzz_targets/`, the driver of this package (`src/main.rs`) without it.
#![allow(clippy::panic, missing_docs, reason = "a failure is what fuzzing is for; nothing here is published")]

pub mod archive;
pub mod goldens;
#[cfg(feature = "libfuzzer")]
pub mod libfuzzer;
pub mod mutate;
pub mod outcome;
pub mod targets;

#[cfg(feature = "libfuzzer")]
pub use libfuzzer_sys;

/// The program of a target for libFuzzer, with this package's way to change inputs beside its own.
#[cfg(feature = "libfuzzer")]
#[macro_export]
macro_rules! libfuzzer {
    ($name:literal) => {
        use $crate::libfuzzer_sys;

        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            let Some(target) = $crate::targets::named($name) else { panic!("no target") };
            (target.run)(data);
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::libfuzzer::in_place($name, data, size, max_size, seed)
        });
    };
}
