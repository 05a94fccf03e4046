//! `cargo fuzz run --features libfuzzer http`
#![no_main]

foveate_fuzz::libfuzzer!("http");
