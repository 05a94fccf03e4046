//! What a target's program for libFuzzer needs beside the target.

use rand::rngs::SmallRng;
use rand::{RngExt, seq::IndexedRandom};

use crate::mutate::mutated;
use crate::targets::named;

/// For libFuzzer: changes the first `size` bytes of `data` for the target of this name, in every second call as
/// libFuzzer does, and gives the new size.
pub fn in_place(name: &str, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut rng = <SmallRng as rand::SeedableRng>::seed_from_u64(seed.into());
    let Some(target) = named(name).filter(|_| rng.random()) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    static SEEDS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    let seeds = SEEDS.get_or_init(target.seeds);
    let other = seeds.choose(&mut rng).map(Vec::as_slice).unwrap_or_default();
    let changed = mutated(target.shape, &data[..size], other, &mut rng);
    let length = changed.len().min(max_size);
    data[..length].copy_from_slice(&changed[..length]);
    length
}
