//! Bytes of which nothing is known.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

/// Numbers at the ends of their types, and those at which parsers change their ways.
pub const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    7,
    8,
    63,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let (from, to) = range(bytes.len(), rng);
    match rng.random_range(0..10) {
        0 | 1 if !bytes.is_empty() => bytes[from.min(data.len() - 1)] ^= 1 << rng.random_range(0..8),
        2 if !bytes.is_empty() => bytes[from.min(data.len() - 1)] = rng.random(),
        3 => bytes.truncate(from),
        4 => drop(bytes.drain(from..to)),
        5 => {
            let part = bytes[from..to].to_vec();
            bytes.splice(from..from, part);
        }
        6 => {
            let (start, end) = range(other.len(), rng);
            bytes.splice(from..to, other[start..end].iter().copied());
        }
        7 => bytes[from..to].fill(*[0, 0xff, b' ', b'9', b'['].choose(rng).unwrap_or(&0)),
        8 => {
            let number = number(rng).to_le_bytes();
            let width = *[1, 2, 4, 8].choose(rng).unwrap_or(&8);
            let room = width.min(bytes.len() - from);
            bytes[from..from + room].copy_from_slice(&number[..room]);
        }
        _ => {
            let new: Vec<u8> = (0..rng.random_range(1..9)).map(|_| rng.random()).collect();
            bytes.splice(from..from, new);
        }
    }
    bytes
}

/// A number that is likely to be at some end, or beside one.
pub fn number(rng: &mut SmallRng) -> u64 {
    let number = *NUMBERS.choose(rng).unwrap_or(&0);
    match rng.random_range(0..4) {
        0 => number.wrapping_add(rng.random_range(0..4)),
        1 => number.wrapping_sub(rng.random_range(0..4)),
        2 => rng.random::<u64>() >> rng.random_range(0..64),
        _ => number,
    }
}

/// A part of `length` bytes: mostly a short one.
fn range(length: usize, rng: &mut SmallRng) -> (usize, usize) {
    let from = rng.random_range(0..=length);
    let most = if rng.random_ratio(3, 4) { (length - from).min(16) } else { length - from };
    (from, from + rng.random_range(0..=most))
}
