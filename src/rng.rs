//! The random numbers of torch's CPU generator, so that a seed gives the picture it gives in diffusers.
//!
//! Follows `randn` of torch for contiguous f32 (`ATen/native/cpu/DistributionTemplates.h`,
//! `ATen/core/DistributionsHelper.h`): below 16 numbers it draws scalars in double precision, from 16 on blocks of 16
//! in single precision.

use std::f32::consts::TAU;

use rand_mt::Mt;

/// torch's block: eight radii and eight angles give sixteen normals.
const BLOCK: usize = 16;

/// A stream of normally distributed numbers, set by a seed.
#[derive(Clone, Debug)]
pub struct Generator {
    words: Mt,
    /// The second normal of the last scalar pair: the next scalar draw takes it, even in a later call.
    spare: Option<f64>,
}

impl Generator {
    /// `torch.Generator("cpu").manual_seed(seed)`: of the seed, the twister takes the low 32 bits.
    pub fn manual_seed(seed: u64) -> Self {
        Self { words: Mt::new(seed as u32), spare: None }
    }

    /// `torch.randn` of `n` numbers, whatever their shape: torch fills it in row order.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < BLOCK {
            return (0..n).map(|_| self.scalar() as f32).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.uniform()).collect();
        values.chunks_exact_mut(BLOCK).for_each(normalise);
        if !n.is_multiple_of(BLOCK) {
            // torch does not continue with the rest, it draws the last sixteen anew.
            let last = &mut values[n - BLOCK..];
            last.fill_with(|| self.uniform());
            normalise(last);
        }
        values
    }

    /// A normal by Box and Muller, in double precision.
    fn scalar(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (angle, radius) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-radius).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * angle).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// 24 bits of a word, in 0…1.
    fn uniform(&mut self) -> f32 {
        (self.words.next_u32() & 0xff_ffff) as f32 / 16_777_216.0
    }

    /// 53 bits of two words, the first the higher, in 0…1.
    fn uniform_f64(&mut self) -> f64 {
        let (high, low) = (u64::from(self.words.next_u32()), u64::from(self.words.next_u32()));
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }
}

/// Turns 16 uniform numbers into normals, in place. Rounds to f32 where torch does; between, the functions are
/// evaluated in f64, so that the result is the same on every platform.
fn normalise(block: &mut [f32]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (u1, u2) in radii.iter_mut().zip(angles) {
        let log = f64::from(1.0 - *u1).ln() as f32;
        let radius = (-2.0 * log).sqrt();
        let (sin, cos) = f64::from(TAU * *u2).sin_cos();
        (*u1, *u2) = (radius * cos as f32, radius * sin as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Checkpoint, Source};

    #[derive(serde::Deserialize)]
    struct Case {
        seed: String,
        sizes: Vec<usize>,
        draws: Vec<String>,
    }

    /// The largest difference to torch, among draws below 16 numbers and among the others, of generators made by
    /// `seeded`.
    fn differences(seeded: impl Fn(u64) -> Generator) -> (f32, f32) {
        let source = Source::parse(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/random"));
        let (mut small, mut large) = (0f32, 0f32);
        pollster::block_on(async {
            let goldens = Checkpoint::open_file(&source, "draws.safetensors").await.unwrap();
            let cases: Vec<Case> = serde_json::from_slice(&source.read("cases.json").await.unwrap()).unwrap();
            assert!(cases.len() > 100);
            for case in cases {
                let mut generator = seeded(case.seed.parse().unwrap());
                for (n, draw) in case.sizes.into_iter().zip(case.draws) {
                    let ours = generator.randn(n);
                    let theirs = goldens.read_f32(&draw).await.unwrap();
                    assert_eq!(ours.len(), theirs.len(), "{draw}");
                    let worst = ours.iter().zip(&theirs).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                    let side = if n < BLOCK { &mut small } else { &mut large };
                    *side = side.max(worst);
                }
            }
        });
        (small, large)
    }

    #[test]
    fn draws_are_those_of_torch() {
        let (small, large) = differences(Generator::manual_seed);
        assert_eq!(small, 0.0, "scalars are bit-exact");
        assert!(large <= 5e-7, "blocks: off by {large}");
    }

    #[test]
    fn another_stream_is_told_from_torchs() {
        // One word on, and the spare of a pair forgotten: both must show, on both sides of 16.
        let (small, large) = differences(|seed| {
            let mut generator = Generator::manual_seed(seed);
            generator.words.next_u32();
            generator
        });
        assert!(small > 1.0 && large > 1.0);
        let mut forgetful = Generator::manual_seed(0);
        let first = forgetful.randn(1);
        forgetful.spare = None;
        assert_ne!([first, forgetful.randn(1)].concat(), Generator::manual_seed(0).randn(2));
    }

    #[test]
    fn every_size_is_served() {
        for n in [0, 1, 15, 16, 17, 32, 47] {
            let draw = Generator::manual_seed(7).randn(n);
            assert_eq!(draw.len(), n);
            assert!(draw.iter().all(|x| x.is_finite()));
        }
    }
}
