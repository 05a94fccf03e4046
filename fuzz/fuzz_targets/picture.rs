//! `cargo fuzz run --features libfuzzer picture`
#![no_main]

foveate_fuzz::libfuzzer!("picture");
