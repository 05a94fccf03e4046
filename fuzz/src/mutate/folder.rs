//! Files together: one of them is changed as its name says, left out, or taken from another input.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{bytes, json, protobuf, safetensors};
use crate::archive::Archive;

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let (mut archive, donor) = (Archive::parse(data), Archive::parse(other));
    if archive.0.is_empty() {
        return bytes::mutated(data, other, rng);
    }
    let place = rng.random_range(0..archive.0.len());
    match rng.random_range(0..16) {
        0 => drop(archive.0.remove(place)),
        1 | 2 if !donor.0.is_empty() => archive.0.push(donor.0[rng.random_range(0..donor.0.len())].clone()),
        3 => {
            // A file that is there goes.
            let name = &archive.0[place].0;
            archive.0[place].0 = format!("-{name}");
        }
        _ => {
            let (name, content) = &mut archive.0[place];
            let same = donor.get(name).unwrap_or_default();
            *content = file(name, content, same, rng);
        }
    }
    archive.bytes()
}

fn file(name: &str, content: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    match name.rsplit(['.', '/']).next().unwrap_or_default() {
        "json" | "request" => json::mutated(content, other, rng),
        "safetensors" | "safetensors#head" => safetensors::mutated(content, other, rng),
        "model" => protobuf::mutated(content, other, rng),
        _ => bytes::mutated(content, other, rng),
    }
}
