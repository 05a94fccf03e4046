//! A picture, by the format that its first bytes say.

use rand::rngs::SmallRng;

use super::{bytes, jpeg, png, webp};

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let changed = png::mutated(data, other, rng)
        .or_else(|| jpeg::mutated(data, other, rng))
        .or_else(|| webp::mutated(data, other, rng));
    changed.unwrap_or_else(|| bytes::mutated(data, other, rng))
}
