//! What is fuzzed: plain functions of bytes. A target fails by a panic, by an abort, by memory beyond its budget, or by
//! taking too long.

pub mod folder;
pub mod http;
pub mod kernels;
pub mod model;
pub mod picture;
pub mod request;
pub mod tokenizer;

use std::sync::OnceLock;

use foveate::Device;
use foveate::low_level::device::{Processor, ProcessorOptions};

use crate::mutate::Shape;

/// A function to be fuzzed, and the inputs to start from.
pub struct Target {
    /// Its name in commands and folders.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Inputs that make sense.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How they are changed.
    pub shape: Shape,
    /// Bytes that one input may have allocated at once, beyond what is kept from input to input.
    pub budget: usize,
}

/// What input of less than 1 MiB may take. (The `tokenizers` library makes some hundred bytes of each byte of a piece.)
const BUDGET: usize = 64 << 20;

/// All of them.
pub static ALL: &[Target] = &[
    Target { name: "model", run: model::run, seeds: model::seeds, shape: Shape::Archive, budget: BUDGET },
    Target {
        name: "tokenizer",
        run: tokenizer::run,
        seeds: tokenizer::seeds,
        shape: Shape::Archive,
        budget: 8 * BUDGET,
    },
    // A picture of few bytes may have many pixels: as many as are read at all.
    Target { name: "picture", run: picture::run, seeds: picture::seeds, shape: Shape::Picture, budget: 1 << 30 },
    Target { name: "request", run: request::run, seeds: request::seeds, shape: Shape::Json, budget: BUDGET },
    Target { name: "http", run: http::run, seeds: http::seeds, shape: Shape::Archive, budget: BUDGET },
    Target { name: "kernels", run: kernels::run, seeds: kernels::seeds, shape: Shape::Bytes, budget: 1 << 30 },
];

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

/// The processor with one thread. It keeps little from input to input.
fn processor() -> &'static Device {
    static PROCESSOR: OnceLock<Device> = OnceLock::new();
    PROCESSOR.get_or_init(|| {
        match Processor::new(ProcessorOptions { threads: Some(1), packed: 1 << 20, ..ProcessorOptions::default() }) {
            Ok(processor) => processor.into(),
            Err(error) => panic!("a processor: {error}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::mutate::mutated;

    /// Nothing is proven by inputs that are all refused alike, or by some that are the seed again.
    #[test]
    fn every_target_gets_new_inputs_from_its_seeds() {
        for target in ALL {
            let (seeds, mut rng) = ((target.seeds)(), SmallRng::seed_from_u64(1));
            assert!(!seeds.is_empty(), "{}", target.name);
            let changed = (0..200).filter(|round| {
                let (data, other) = (&seeds[round % seeds.len()], &seeds[(round * 7 + 1) % seeds.len()]);
                mutated(target.shape, data, other, &mut rng) != *data
            });
            assert!(changed.count() > 150, "{}", target.name);
        }
    }
}
