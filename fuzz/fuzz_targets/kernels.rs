//! `cargo fuzz run --features libfuzzer kernels`
#![no_main]

foveate_fuzz::libfuzzer!("kernels");
