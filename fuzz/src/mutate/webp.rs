//! A picture in WebP: the chunks of a RIFF file, with their lengths made true again.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::{bytes, exif, parts};

/// The chunks that mean something to a decoder.
const NAMES: [&[u8; 4]; 9] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP", b"XMP "];

/// A chunk: its name and its data.
type Chunk = ([u8; 4], Vec<u8>);

/// None, where it is no WebP.
pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Option<Vec<u8>> {
    let mut bytes = write(&parts::mutated(data, other, rng, read, change)?);
    if rng.random_ratio(1, 16) {
        bytes[4..8].copy_from_slice(&(bytes::number(rng) as u32).to_le_bytes());
    }
    Some(bytes)
}

fn change((name, data): &mut Chunk, rng: &mut SmallRng) {
    // Sizes: 14 bits each behind a frame's mark and a lossless one's, 24 bits on the canvas and in a frame of several.
    let sizes: &[(usize, usize)] = match &*name {
        b"VP8 " => &[(6, 2), (8, 2)],
        b"VP8L" => &[(1, 2), (2, 2), (3, 2)],
        b"VP8X" => &[(0, 1), (4, 3), (7, 3)],
        b"ANMF" => &[(0, 3), (3, 3), (6, 3), (9, 3), (15, 1), (20, 4)],
        b"ALPH" => &[(0, 1)],
        _ => &[],
    };
    let size = sizes.choose(rng).filter(|(at, width)| at + width <= data.len());
    match size {
        _ if rng.random_ratio(1, 8) => *name = **NAMES.choose(rng).unwrap_or(&NAMES[0]),
        Some(&(at, width)) if rng.random_ratio(1, 3) => {
            data[at..at + width].copy_from_slice(&bytes::number(rng).to_le_bytes()[..width]);
        }
        _ => *data = exif::mutated(data, rng).unwrap_or_else(|| bytes::mutated(data, &[], rng)),
    }
}

fn read(data: &[u8]) -> Option<Vec<Chunk>> {
    let mut rest = data.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WEBP")?;
    let mut chunks = Vec::new();
    while let Some((name, after)) = rest.split_first_chunk() {
        let (length, after) = after.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        chunks.push((*name, after.get(..length)?.to_vec()));
        // To an even length.
        rest = after.get(length + length % 2..).unwrap_or_default();
    }
    Some(chunks)
}

fn write(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
    for (name, data) in chunks {
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    let length = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::tests::corpus;
    use super::*;

    #[test]
    fn pictures_come_back() {
        let pictures = corpus("webp");
        assert!(pictures.len() > 3);
        for picture in pictures {
            let chunks = read(&picture).unwrap();
            assert!(!chunks.is_empty());
            assert_eq!(write(&chunks), picture);
        }
    }
}
