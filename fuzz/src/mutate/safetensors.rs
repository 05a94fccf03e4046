//! A safetensors file, or its head alone: the length, the JSON, an offset in it, the numbers behind it.

use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::Value;

use super::{bytes, json};

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let Some((length, header, rest)) = split(data) else { return bytes::mutated(data, other, rng) };
    match rng.random_range(0..12) {
        0 => [&bytes::number(rng).to_le_bytes()[..], header, rest].concat(),
        1 => [&length.wrapping_add_signed(rng.random_range(-9..9)).to_le_bytes()[..], header, rest].concat(),
        2 => [&length.to_le_bytes()[..], header, &bytes::mutated(rest, &[], rng)].concat(),
        3..8 => joined(&tensor(header, rng), rest),
        _ => joined(&json::mutated(header, split(other).map_or(&[], |(_, header, _)| header), rng), rest),
    }
}

fn joined(header: &[u8], rest: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, rest].concat()
}

fn split(data: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk()?;
    let length = u64::from_le_bytes(*length);
    let (header, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((length, header, rest))
}

/// Changes of one tensor that keep its bytes in number: another shape, another type with as many bits.
fn tensor(header: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let Ok(Value::Object(mut tensors)) = serde_json::from_slice(header) else { return header.to_vec() };
    let place = rng.random_range(0..tensors.len().max(1));
    if let Some(tensor) = tensors.values_mut().nth(place).filter(|tensor| tensor.is_object()) {
        let shape: Vec<u64> = tensor["shape"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let count: u64 = shape.iter().product();
        match rng.random_range(0..6) {
            0 => tensor["shape"] = vec![count].into(),
            1 => tensor["shape"] = vec![1, count].into(),
            2 => tensor["shape"] = shape.into_iter().rev().collect(),
            3 => tensor["shape"] = [shape, vec![0]].concat().into(),
            4 => tensor["dtype"] = ["F16", "BF16", "F32", "I32", "F64", "U8", "BOOL"][rng.random_range(0..7)].into(),
            _ => {
                let end = rng.random_range(0..2);
                if let Some(offset) = tensor["data_offsets"].get_mut(end) {
                    *offset = bytes::number(rng).into();
                }
            }
        }
    }
    Value::Object(tensors).to_string().into_bytes()
}
