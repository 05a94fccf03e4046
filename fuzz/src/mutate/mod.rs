//! Changes to inputs that know what they change: a value of a JSON document, an offset of a header, a field of a
//! protobuf message, a chunk of a picture. Bits are turned over as well, but most of what that gives is refused at the
//! first byte.

mod bytes;
mod exif;
mod folder;
mod jpeg;
mod json;
mod parts;
mod picture;
mod png;
mod protobuf;
mod safetensors;
mod webp;

use rand::rngs::SmallRng;
use rand::{RngExt, seq::IndexedRandom};

/// How the bytes of a target's inputs are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing is known of them.
    Bytes,
    /// A JSON document.
    Json,
    /// A picture in PNG, JPEG or WebP.
    Picture,
    /// Files, each with the shape that its name says.
    Archive,
}

/// The longest input that is made, in bytes.
pub const LONGEST: usize = 1 << 20;

/// A changed input. `other` is another one of the same target, of which parts may be taken.
pub fn mutated(shape: Shape, data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut changed = data.to_vec();
    // Most inputs with several changes are refused by the first of them.
    for _ in 0..*[1, 1, 1, 2, 2, 3, 5].choose(rng).unwrap_or(&1) {
        changed = once(shape, &changed, other, rng);
    }
    changed.truncate(LONGEST);
    changed
}

fn once(shape: Shape, data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    if rng.random_ratio(1, 12) {
        return bytes::mutated(data, other, rng);
    }
    match shape {
        Shape::Bytes => bytes::mutated(data, other, rng),
        Shape::Json => json::mutated(data, other, rng),
        Shape::Picture => picture::mutated(data, other, rng),
        Shape::Archive => folder::mutated(data, other, rng),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The pictures in `fuzz/corpus/picture` whose names end so.
    pub fn corpus(extension: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/picture");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let whole = paths.filter(|path| path.extension().is_some_and(|end| end == extension));
        whole.map(|path| std::fs::read(path).unwrap()).collect()
    }
}
