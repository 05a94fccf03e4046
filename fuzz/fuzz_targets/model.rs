//! `cargo fuzz run --features libfuzzer model`
#![no_main]

foveate_fuzz::libfuzzer!("model");
