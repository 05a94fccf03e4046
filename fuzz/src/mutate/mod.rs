//! Changes to inputs that know what they change: a value of a JSON document, an offset of a header, a field of a
//! protobuf message, a chunk of a picture. Bits are turned over as well, but most of what that gives is refused at the
//! first byte.

mod bytes;
mod folder;
mod json;
mod png;
mod protobuf;
mod safetensors;

use rand::rngs::SmallRng;
use rand::{RngExt, seq::IndexedRandom};

/// How the bytes of a target's inputs are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing is known of them.
    Bytes,
    /// A JSON document.
    Json,
    /// A picture in PNG.
    Png,
    /// Files, each with the shape that its name says.
    Archive,
}

/// The longest input that is made, in bytes.
pub const LONGEST: usize = 1 << 20;

/// A changed input. `other` is another one of the same target, of which parts may be taken.
pub fn mutated(shape: Shape, data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut changed = data.to_vec();
    // Most inputs with several changes are refused by the first of them.
    for _ in 0..*[1, 1, 1, 2, 2, 3, 5].choose(rng).unwrap_or(&1) {
        changed = once(shape, &changed, other, rng);
    }
    changed.truncate(LONGEST);
    changed
}

fn once(shape: Shape, data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    if rng.random_ratio(1, 12) {
        return bytes::mutated(data, other, rng);
    }
    match shape {
        Shape::Bytes => bytes::mutated(data, other, rng),
        Shape::Json => json::mutated(data, other, rng),
        Shape::Png => png::mutated(data, other, rng),
        Shape::Archive => folder::mutated(data, other, rng),
    }
}

/// For libFuzzer: changes the first `size` bytes of `data` for the target of this name, in every second call as
/// libFuzzer does, and gives the new size.
#[cfg(feature = "libfuzzer")]
pub fn in_place(name: &str, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut rng = <SmallRng as rand::SeedableRng>::seed_from_u64(seed.into());
    let Some(target) = crate::targets::named(name).filter(|_| rng.random()) else {
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::targets;

    /// Nothing is proven by inputs that are all refused alike, or by some that are the seed again.
    #[test]
    fn every_target_gets_new_inputs_from_its_seeds() {
        for target in targets::ALL {
            let (seeds, mut rng) = ((target.seeds)(), SmallRng::seed_from_u64(1));
            assert!(!seeds.is_empty(), "{}", target.name);
            let changed = (0..200).filter(|round| {
                let (data, other) = (&seeds[round % seeds.len()], &seeds[(round * 7 + 1) % seeds.len()]);
                mutated(target.shape, data, other, &mut rng) != *data
            });
            assert!(changed.count() > 150, "{}", target.name);
        }
    }
}
