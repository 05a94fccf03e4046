//! A protobuf message (`spiece.model`): a field is changed, dropped, doubled or cut; lengths mostly stay true.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::bytes;

/// A field: its tag, and what follows it.
#[derive(Clone)]
struct Field {
    tag: u64,
    payload: Payload,
}

#[derive(Clone)]
enum Payload {
    Varint(u64),
    Fixed(Vec<u8>),
    Block(Vec<u8>),
}

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let Some(mut fields) = read(data).filter(|fields| !fields.is_empty()) else {
        return bytes::mutated(data, other, rng);
    };
    // The pieces come first and are many; what describes them is at the end.
    let end = fields.len().saturating_sub(4);
    let start = if rng.random() { end } else { 0 };
    let place = rng.random_range(start..fields.len());
    match rng.random_range(0..10) {
        0 => drop(fields.remove(place)),
        1 => fields.insert(place, fields[place].clone()),
        2 => fields.truncate(place),
        3 => fields[place].tag = bytes::number(rng) & 0xff,
        4 => {
            let donor = read(other).filter(|other| !other.is_empty());
            fields[place] = donor.map_or(fields[0].clone(), |other| other[rng.random_range(0..other.len())].clone());
        }
        _ => match &mut fields[place].payload {
            Payload::Varint(number) => *number = bytes::number(rng),
            Payload::Fixed(fixed) => {
                let numbers = [f32::NAN, f32::INFINITY, -f32::INFINITY, f32::MAX, -1e38, 0.0, f32::MIN_POSITIVE];
                let number = numbers[rng.random_range(0..numbers.len())].to_le_bytes();
                fixed.iter_mut().zip(number).for_each(|(byte, new)| *byte = new);
            }
            Payload::Block(block) => *block = mutated(block, &[], rng),
        },
    }
    write(&fields)
}

fn read(mut data: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let tag = varint(&mut data)?;
        let payload = match tag & 7 {
            0 => Payload::Varint(varint(&mut data)?),
            1 => Payload::Fixed(take(&mut data, 8)?),
            5 => Payload::Fixed(take(&mut data, 4)?),
            2 => {
                let length = varint(&mut data)?;
                Payload::Block(take(&mut data, usize::try_from(length).ok()?)?)
            }
            _ => return None,
        };
        fields.push(Field { tag, payload });
    }
    Some(fields)
}

fn take(data: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (part, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(part.to_vec())
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn write(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let push = |mut number: u64, bytes: &mut Vec<u8>| {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    };
    for Field { tag, payload } in fields {
        push(*tag, &mut bytes);
        match payload {
            Payload::Varint(number) => push(*number, &mut bytes),
            Payload::Fixed(fixed) => bytes.extend_from_slice(fixed),
            Payload::Block(block) => {
                push(block.len() as u64, &mut bytes);
                bytes.extend_from_slice(block);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let files = &crate::goldens::tokenizers()["tiny"];
        let model = &files["tokenizer/spiece.model"];
        assert_eq!(write(&read(model).unwrap()), *model);
    }
}
