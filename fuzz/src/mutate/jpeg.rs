//! A picture in JPEG: its segments, with their lengths made true again.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::{bytes, exif, parts};

/// What begins one.
const START: &[u8] = b"\xff\xd8";
/// The kinds of segments that mean something to a decoder: frames, tables, scans, restarts, what cameras write, an end.
const KINDS: [u8; 24] = [
    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc9, 0xca, 0xcc, 0xd0, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1,
    0xe2, 0xed, 0xee, 0xfe, 0x01,
];
const SCAN: u8 = 0xda;
const END: u8 = 0xd9;

#[derive(Clone, Debug, PartialEq)]
struct Segment {
    kind: u8,
    /// Behind its length. An end has neither.
    data: Vec<u8>,
    /// What follows up to the next marker: the numbers of a scan.
    scan: Vec<u8>,
}

/// None, where it is no JPEG.
pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Option<Vec<u8>> {
    Some(write(&parts::mutated(data, other, rng, read, change)?))
}

fn change(segment: &mut Segment, rng: &mut SmallRng) {
    match segment.kind {
        _ if rng.random_ratio(1, 8) => segment.kind = *KINDS.choose(rng).unwrap_or(&END),
        // Precision; height and width, which matter most where they are small or huge; components and their sampling.
        0xc0..=0xc3 if segment.data.len() > 8 => match rng.random_range(0..4) {
            0 => segment.kind = 0xc0 + rng.random_range(0..4),
            1 => {
                let at = *[1, 3].choose(rng).unwrap_or(&1);
                segment.data[at..at + 2].copy_from_slice(&(bytes::number(rng) as u16).to_be_bytes());
            }
            2 => segment.data[0] = *[1, 8, 12, 16].choose(rng).unwrap_or(&8),
            _ => {
                let at = rng.random_range(5..segment.data.len());
                segment.data[at] = rng.random_range(0..5) << 4 | rng.random_range(0..5);
            }
        },
        0xe1 => {
            segment.data = exif::mutated(&segment.data, rng).unwrap_or_else(|| bytes::mutated(&segment.data, &[], rng))
        }
        SCAN if rng.random_ratio(3, 4) => {
            segment.scan = bytes::mutated(&segment.scan, &[], rng);
            if rng.random_ratio(1, 4) {
                let at = rng.random_range(0..=segment.scan.len());
                segment.scan.splice(at..at, [0xff, 0xd0 + rng.random_range(0..8)]);
            }
        }
        _ => segment.data = bytes::mutated(&segment.data, &[], rng),
    }
}

fn read(data: &[u8]) -> Option<Vec<Segment>> {
    let mut rest = data.strip_prefix(START)?;
    let mut segments = Vec::new();
    while let [0xff, kind, after @ ..] = rest {
        let content = if *kind == END { &after[..0] } else { after.get(2..)?.get(..length(after)?)? };
        let after = &after[if *kind == END { 0 } else { 2 + content.len() }..];
        // Within a scan 0xff is followed by 0 or by a restart marker. Behind the end everything is taken along.
        let marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7);
        let next = if *kind == END { None } else { after.windows(2).position(marker) }.unwrap_or(after.len());
        segments.push(Segment { kind: *kind, data: content.to_vec(), scan: after[..next].to_vec() });
        rest = &after[next..];
    }
    Some(segments)
}

/// Of a segment's data, without the length's own two bytes.
fn length(after: &[u8]) -> Option<usize> {
    usize::from(u16::from_be_bytes(*after.first_chunk()?)).checked_sub(2)
}

fn write(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = START.to_vec();
    for Segment { kind, data, scan } in segments {
        bytes.extend_from_slice(&[0xff, *kind]);
        if *kind != END {
            let data = &data[..data.len().min(usize::from(u16::MAX) - 2)];
            bytes.extend_from_slice(&(data.len() as u16 + 2).to_be_bytes());
            bytes.extend_from_slice(data);
        }
        bytes.extend_from_slice(scan);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::tests::corpus;
    use super::*;

    #[test]
    fn pictures_come_back() {
        let pictures = corpus("jpg");
        assert!(pictures.len() > 3);
        for picture in pictures {
            let segments = read(&picture).unwrap();
            assert!(segments.iter().any(|segment| segment.kind == SCAN && !segment.scan.is_empty()));
            assert_eq!(write(&segments), picture);
        }
    }
}
