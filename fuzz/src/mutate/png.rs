//! A picture in PNG: its chunks, with their checksums made true again.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::{bytes, exif, json, parts};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The chunks that mean something to a decoder.
const NAMES: [&[u8; 4]; 10] =
    [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"IDAT", b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL"];

/// A chunk: its name and its data.
type Chunk = ([u8; 4], Vec<u8>);

/// None, where it is no PNG.
pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Option<Vec<u8>> {
    Some(write(&parts::mutated(data, other, rng, read, change)?))
}

fn change(chunk: &mut Chunk, rng: &mut SmallRng) {
    match rng.random_range(0..5) {
        0 => chunk.0 = **NAMES.choose(rng).unwrap_or(&NAMES[0]),
        _ => chunk.1 = content(chunk, rng),
    }
}

/// The JSON in a text, a field of a header, or the bytes of whatever else it is.
fn content((name, data): &Chunk, rng: &mut SmallRng) -> Vec<u8> {
    match data.iter().position(|&byte| byte == b'{') {
        Some(start) if matches!(name, b"tEXt" | b"iTXt") && rng.random_ratio(3, 4) => {
            [&data[..start], &json::mutated(&data[start..], b"", rng)].concat()
        }
        // Size, depth, colour, interlacing: a byte or a number each.
        _ if name == b"IHDR" && data.len() == 13 => {
            let mut data = data.clone();
            match rng.random_range(0..7) {
                field @ (0 | 1) => data[4 * field..][..4].copy_from_slice(&(bytes::number(rng) as u32).to_be_bytes()),
                field => data[6 + field] = rng.random_range(0..17),
            }
            data
        }
        _ => exif::mutated(data, rng).unwrap_or_else(|| bytes::mutated(data, &[], rng)),
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
    use super::super::tests::corpus;

    #[test]
    fn pictures_come_back() {
        for seed in crate::targets::picture::seeds().into_iter().chain(corpus("png")) {
            assert_eq!(super::write(&super::read(&seed).unwrap()), seed);
        }
    }
}
