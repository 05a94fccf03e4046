//! `cargo fuzz run --features libfuzzer request`
#![no_main]

foveate_fuzz::libfuzzer!("request");
