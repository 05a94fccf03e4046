//! What a camera writes beside a picture, how it was held among it: a TIFF header and a list of fields.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::bytes;

/// The bytes of a field: tag, type, count and value.
const FIELD: usize = 12;

/// `data` with one part of a field changed, or the place of the list; none, where it is no Exif. In JPEG a mark stands
/// before it, in WebP it may.
pub fn mutated(data: &[u8], rng: &mut SmallRng) -> Option<Vec<u8>> {
    let start = if data.starts_with(b"Exif\0\0") { 6 } else { 0 };
    let big = match data.get(start..start + 4)? {
        b"MM\0\x2a" => true,
        b"II\x2a\0" => false,
        _ => return None,
    };
    let number = |at: usize, width: usize| {
        let part = data.get(start.checked_add(at)?..)?.get(..width)?;
        let join = |sum: usize, &byte: &u8| sum << 8 | usize::from(byte);
        Some(if big { part.iter().fold(0, join) } else { part.iter().rev().fold(0, join) })
    };
    let list = number(4, 4)?;
    let fields = number(list, 2)?.max(1);
    let field = list + 2 + FIELD * rng.random_range(0..fields);
    // Where the list is, how long it is, a field's parts, and where the next list is.
    let places = [(4, 4), (list, 2), (field, 2), (field + 2, 2), (field + 4, 4), (field + 8, 2), (field + 8, 4)];
    let (at, width) = places[rng.random_range(0..places.len())];
    // A turned picture has one of 1 to 8.
    let value = if rng.random() { rng.random_range(0..10) } else { bytes::number(rng) };
    let mut written = value.to_le_bytes()[..width].to_vec();
    if big {
        written.reverse();
    }
    let mut changed = data.to_vec();
    changed.get_mut(start + at..start + at + width)?.copy_from_slice(&written);
    Some(changed)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_field_is_changed_in_either_order_of_bytes() {
        let big = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let little = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut rng = SmallRng::seed_from_u64(1);
        for data in [&big[..], little] {
            let turned = (0..500).filter_map(|_| mutated(data, &mut rng)).filter(|changed| {
                let differs: Vec<usize> = (0..data.len()).filter(|&at| data[at] != changed[at]).collect();
                changed.len() == data.len() && differs.iter().all(|&at| data[at..].len() <= 8)
            });
            assert!(turned.count() > 20);
        }
        assert_eq!(mutated(b"Exif\0\0XX", &mut rng), None);
    }
}
