//! A picture in PNG: its chunks, with their checksums made true again.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{bytes, json};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A chunk: its name and its data.
type Chunk = ([u8; 4], Vec<u8>);

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let Some(mut chunks) = read(data).filter(|chunks| !chunks.is_empty()) else {
        return bytes::mutated(data, other, rng);
    };
    let place = rng.random_range(0..chunks.len());
    match rng.random_range(0..8) {
        0 => drop(chunks.remove(place)),
        1 => chunks.insert(place, chunks[place].clone()),
        2 => {
            let to = rng.random_range(0..chunks.len());
            chunks.swap(place, to);
        }
        3 => chunks[place].0 = *[b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"IDAT", b"IHDR", b"acTL"][rng.random_range(0..7)],
        4 => {
            let from = read(other).unwrap_or_default();
            if !from.is_empty() {
                chunks.insert(place, from[rng.random_range(0..from.len())].clone());
            }
        }
        _ => chunks[place].1 = content(&chunks[place], rng),
    }
    write(&chunks)
}

/// The JSON in a text, or the bytes of whatever else it is.
fn content((name, data): &Chunk, rng: &mut SmallRng) -> Vec<u8> {
    match data.iter().position(|&byte| byte == b'{') {
        Some(start) if matches!(name, b"tEXt" | b"iTXt") && rng.random_ratio(3, 4) => {
            [&data[..start], &json::mutated(&data[start..], b"", rng)].concat()
        }
        _ => bytes::mutated(data, &[], rng),
    }
}

fn read(data: &[u8]) -> Option<Vec<Chunk>> {
    let mut rest = data.strip_prefix(SIGNATURE)?;
    let mut chunks = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (name, after) = after.split_first_chunk::<4>()?;
        let (content, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        chunks.push((*name, content.to_vec()));
        rest = after.get(4..)?;
    }
    Some(chunks)
}

fn write(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    for (name, data) in chunks {
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let named = [&name[..], data].concat();
        bytes.extend_from_slice(&named);
        bytes.extend_from_slice(&crc32fast::hash(&named).to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn pictures_come_back() {
        for seed in crate::targets::picture::seeds() {
            assert_eq!(super::write(&super::read(&seed).unwrap()), seed);
        }
    }
}
