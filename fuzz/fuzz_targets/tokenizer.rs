//! `cargo fuzz run --features libfuzzer tokenizer`
#![no_main]

foveate_fuzz::libfuzzer!("tokenizer");
