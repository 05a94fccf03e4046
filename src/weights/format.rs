//! How a matrix lies on the GPU: a stream of `u32` words, row after row, each row starting on a whole block.
//!
//! | format | block | words of a block | bits a weight |
//! |---|---|---|---|
//! | `f32`  | 4 weights | 4: the bits | 32 |
//! | `f16`, `bf16` | 4 weights | 2: two weights each, the first in the low half (`unpack2x16float`; bf16 is `bits << 16`) | 16 |
//! | `int8` | 32 weights | 9: f32 scale, then four signed bytes each, the first lowest (`unpack4xI8`) | 9 |
//! | `int4` | 32 weights | 5: f16 scale (low) and minimum (high), then eight nibbles each, the first lowest | 5 |
//!
//! A row that does not fill its last block is padded, and the padding decodes to exactly zero in every format.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use super::blocks::{self, BLOCK};
use super::values::{append_f32, check_finite, each};
use super::{SourceType, Unfit};
use crate::{Error, Result};

/// How the weights of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `f32`.
    BF16,
    /// Signed bytes with a scale for each 32.
    Int8,
    /// Nibbles with a scale and a minimum for each 32.
    Int4,
}

impl Format {
    /// All formats, the most exact first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::BF16, Self::Int8, Self::Int4];

    /// The words of a row of `k` weights.
    pub fn row_words(self, k: usize) -> usize {
        match self {
            Self::F32 => k.next_multiple_of(4),
            Self::F16 | Self::BF16 => k.next_multiple_of(4) / 2,
            Self::Int8 => k.div_ceil(BLOCK) * blocks::INT8_WORDS,
            Self::Int4 => k.div_ceil(BLOCK) * blocks::INT4_WORDS,
        }
    }

    /// What a weight costs where rows are whole blocks.
    pub fn bits_per_weight(self) -> usize {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::BF16 => 16,
            Self::Int8 => 32 * blocks::INT8_WORDS / BLOCK,
            Self::Int4 => 32 * blocks::INT4_WORDS / BLOCK,
        }
    }

    /// Appends `rows`, of `k` weights each, to `out`. A weight that is no finite number, or becomes none in this format
    /// (100 000 in f16), is an error.
    pub fn encode_rows(self, rows: &[f32], k: usize, out: &mut Vec<u32>) -> Result<(), Unfit> {
        check_finite(rows)?;
        out.reserve(self.row_words(k) * rows.len().checked_div(k).unwrap_or(0));
        for (r, row) in rows.chunks(k.max(1)).enumerate() {
            let at = |unfit: Unfit| unfit.after(r * k);
            match self {
                Self::F32 => {
                    let start = out.len();
                    out.extend(row.iter().map(|w| w.to_bits()));
                    out.resize(start + self.row_words(k), 0);
                }
                Self::F16 => {
                    pack_halves(row, k, out, |w| f16::from_f32(w).to_bits(), f16::INFINITY.to_bits()).map_err(at)?
                }
                Self::BF16 => {
                    pack_halves(row, k, out, |w| bf16::from_f32(w).to_bits(), bf16::INFINITY.to_bits()).map_err(at)?
                }
                Self::Int8 => row.chunks(BLOCK).for_each(|block| blocks::encode_int8(block, out)),
                Self::Int4 => {
                    for (b, block) in row.chunks(BLOCK).enumerate() {
                        blocks::encode_int4(block, out).map_err(|unfit| at(unfit.after(b * BLOCK)))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// [`Self::encode_rows`] for `bytes` of a file, values of type `from`. Bits that need no conversion are copied.
    pub fn encode_raw(self, from: SourceType, bytes: &[u8], k: usize, out: &mut Vec<u32>) -> Result<(), Unfit> {
        // The bits of infinity: a half with all of them set in its exponent is infinite or NaN.
        let exponent = match (from, self) {
            (SourceType::F16, Self::F16) => f16::INFINITY.to_bits(),
            (SourceType::BF16, Self::BF16) => bf16::INFINITY.to_bits(),
            _ => {
                let mut values = Vec::with_capacity(bytes.len() * 8 / from.bitsize().max(1));
                append_f32(from, bytes, &mut values)?;
                return self.encode_rows(&values, k, out);
            }
        };
        if let Some(index) = each(bytes, u16::from_le_bytes).position(|half| half & exponent == exponent) {
            let mut value = Vec::with_capacity(1);
            append_f32(from, &bytes[2 * index..2 * index + 2], &mut value)?;
            return Err(Unfit::Value { index, value: value[0] });
        }
        out.reserve(self.row_words(k) * bytes.len().checked_div(2 * k).unwrap_or(0));
        for row in bytes.chunks(2 * k.max(1)) {
            let start = out.len();
            out.extend(each(row, u32::from_le_bytes));
            if let [.., last_low, last_high] = row
                && k % 2 == 1
            {
                out.push(u16::from_le_bytes([*last_low, *last_high]).into());
            }
            out.resize(start + self.row_words(k), 0);
        }
        Ok(())
    }

    /// The weights that a GPU finds in `words`, rows of `k`, without the padding.
    pub fn decode_rows(self, words: &[u32], k: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(words.len() / self.row_words(k).max(1) * k);
        for row in words.chunks(self.row_words(k).max(1)) {
            self.decode_row(row, |i, weight| {
                if i < k {
                    rows.push(weight)
                }
            });
        }
        rows
    }

    /// Gives each weight of a row with its place, the padding included.
    fn decode_row(self, row: &[u32], mut give: impl FnMut(usize, f32)) {
        match self {
            Self::F32 => row.iter().enumerate().for_each(|(i, &word)| give(i, f32::from_bits(word))),
            Self::F16 => halves(row).for_each(|(i, half)| give(i, f16::from_bits(half).to_f32())),
            Self::BF16 => halves(row).for_each(|(i, half)| give(i, bf16::from_bits(half).to_f32())),
            Self::Int8 => blocks::decode_int8(row).for_each(|(i, weight)| give(i, weight)),
            Self::Int4 => blocks::decode_int4(row).for_each(|(i, weight)| give(i, weight)),
        }
    }

    /// What storing `rows` of `k` weights loses: the L2 norm of the difference over that of the weights.
    pub fn relative_error(self, rows: &[f32], k: usize) -> Result<f64, Unfit> {
        let mut words = Vec::new();
        self.encode_rows(rows, k, &mut words)?;
        let square = |x: f64| x * x;
        let lost: f64 =
            rows.iter().zip(self.decode_rows(&words, k)).map(|(&a, b)| square(f64::from(a) - f64::from(b))).sum();
        let all: f64 = rows.iter().map(|&a| square(a.into())).sum();
        Ok(if all == 0.0 { 0.0 } else { (lost / all).sqrt() })
    }
}

/// Appends a row of 16-bit weights, two a word, padded to `k`'s next multiple of 4.
fn pack_halves(row: &[f32], k: usize, out: &mut Vec<u32>, half: impl Fn(f32) -> u16, inf: u16) -> Result<(), Unfit> {
    let start = out.len();
    for (pair, weights) in row.chunks(2).enumerate() {
        let mut word = 0;
        for (i, &value) in weights.iter().enumerate() {
            let bits = half(value);
            if bits & inf == inf {
                return Err(Unfit::Value { index: 2 * pair + i, value });
            }
            word |= u32::from(bits) << (16 * i);
        }
        out.push(word);
    }
    out.resize(start + k.next_multiple_of(4) / 2, 0);
    Ok(())
}

fn halves(row: &[u32]) -> impl Iterator<Item = (usize, u16)> {
    row.iter().flat_map(|&word| [word as u16, (word >> 16) as u16]).enumerate()
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.to_string() == s)
            .ok_or_else(|| Error::Usage(format!("unknown dtype {s:?}: it is f32, f16, bf16, int8 or int4")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    const SIZES: [usize; 12] = [1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 200];

    fn encoded(format: Format, rows: &[f32], k: usize) -> Vec<u32> {
        let mut words = Vec::new();
        format.encode_rows(rows, k, &mut words).unwrap();
        words
    }

    /// Three rows of weights in −1…1, shifted by `bias` and scaled, each with its own magnitude.
    fn random(rng: &mut SmallRng, k: usize, bias: f32) -> Vec<f32> {
        (0..3 * k).map(|i| (rng.random_range(-1.0..1.0f32) + bias) * [0.02, 1.0, 30.0][i / k]).collect()
    }

    /// The most that a weight may be off, given its block.
    fn bound(format: Format, block: &[f32], weight: f32) -> f32 {
        let largest = block.iter().fold(0f32, |m, w| m.max(w.abs()));
        let (low, high) = block.iter().fold((f32::MAX, f32::MIN), |(l, h), &w| (l.min(w), h.max(w)));
        match format {
            Format::F32 => 0.0,
            Format::F16 => (weight.abs() / 2048.0).max(3e-8),
            Format::BF16 => weight.abs() / 256.0,
            Format::Int8 => largest / 127.0 * 0.501,
            // Half a step, and what rounding minimum and scale outwards to f16 adds to the range.
            Format::Int4 if block.len() == BLOCK => ((high - low) / 15.0 + largest / 1024.0 / 15.0 + 6e-8) * 0.502,
            Format::Int4 => (largest / 7.0 * 1.001 + 6e-8) * 0.501,
        }
    }

    #[test]
    fn every_weight_comes_back_within_its_bound() {
        let mut rng = SmallRng::seed_from_u64(1);
        for format in Format::ALL {
            for k in SIZES {
                for bias in [0.0, 0.9, -5.0] {
                    let rows = random(&mut rng, k, bias);
                    let words = encoded(format, &rows, k);
                    assert_eq!(words.len(), 3 * format.row_words(k), "{format} {k}");
                    let back = format.decode_rows(&words, k);
                    assert_eq!(back.len(), rows.len(), "{format} {k}");
                    for (row, row_back) in rows.chunks(k).zip(back.chunks(k)) {
                        for (block, block_back) in row.chunks(BLOCK).zip(row_back.chunks(BLOCK)) {
                            for (&a, b) in block.iter().zip(block_back) {
                                assert!((a - b).abs() <= bound(format, block, a), "{format} {k}: {a} came back as {b}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn padding_is_exactly_zero() {
        let mut rng = SmallRng::seed_from_u64(2);
        for format in Format::ALL {
            for k in SIZES {
                let words = encoded(format, &random(&mut rng, k, 3.0), k);
                for row in words.chunks(format.row_words(k)) {
                    format.decode_row(row, |i, w| assert!(i < k || w == 0.0, "{format} {k}: place {i} holds {w}"));
                }
            }
        }
    }

    #[test]
    fn words_are_laid_out_as_the_shaders_read_them() {
        assert_eq!(encoded(Format::F32, &[1.0, -2.0], 2), [0x3f80_0000, 0xc000_0000, 0, 0]);
        assert_eq!(encoded(Format::F16, &[1.0, -2.0, 0.5], 3), [0xc000_3c00, 0x3800]);
        assert_eq!(encoded(Format::BF16, &[1.0, -2.0, 0.5], 3), [0xc000_3f80, 0x3f00]);
        let eights: Vec<f32> = (0..32).map(|i| if i == 0 { -127.0 } else { i as f32 }).collect();
        assert_eq!(encoded(Format::Int8, &eights, 32)[..3], [1f32.to_bits(), 0x0302_0181, 0x0706_0504]);
        let nibbles: Vec<f32> = (0..32).map(|i| (i % 16) as f32 * 2.0 - 1.0).collect();
        assert_eq!(encoded(Format::Int4, &nibbles, 32)[..3], [0xbc00_4000, 0x7654_3210, 0xfedc_ba98]);
    }

    #[test]
    fn raw_bytes_and_numbers_encode_alike() {
        let mut rng = SmallRng::seed_from_u64(3);
        for k in SIZES {
            let rows = random(&mut rng, k, 0.0);
            let f64s: Vec<u8> = rows.iter().flat_map(|&w| f64::from(w).to_le_bytes()).collect();
            let f32s: Vec<u8> = rows.iter().flat_map(|w| w.to_le_bytes()).collect();
            let f16s: Vec<u8> = rows.iter().flat_map(|&w| f16::from_f32(w).to_le_bytes()).collect();
            let bf16s: Vec<u8> = rows.iter().flat_map(|&w| bf16::from_f32(w).to_le_bytes()).collect();
            for (from, bytes) in
                [(SourceType::F64, f64s), (SourceType::F32, f32s), (SourceType::F16, f16s), (SourceType::BF16, bf16s)]
            {
                let mut values = Vec::new();
                append_f32(from, &bytes, &mut values).unwrap();
                for format in Format::ALL {
                    let mut raw = Vec::new();
                    format.encode_raw(from, &bytes, k, &mut raw).unwrap();
                    assert_eq!(raw, encoded(format, &values, k), "{from} to {format}, {k}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused_by_its_place() {
        for format in Format::ALL {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut rows = vec![0.5; 3 * 50];
                rows[107] = bad;
                let unfit = format.encode_rows(&rows, 50, &mut Vec::new()).unwrap_err();
                assert_eq!(unfit.to_string(), format!("element 107 is {bad}"), "{format}");
                for (from, bytes) in [
                    (SourceType::F16, rows.iter().flat_map(|&w| f16::from_f32(w).to_le_bytes()).collect::<Vec<u8>>()),
                    (SourceType::BF16, rows.iter().flat_map(|&w| bf16::from_f32(w).to_le_bytes()).collect()),
                ] {
                    let unfit = format.encode_raw(from, &bytes, 50, &mut Vec::new()).unwrap_err();
                    assert_eq!(unfit.to_string(), format!("element 107 is {bad}"), "{from} to {format}");
                }
            }
        }
        for (format, large) in [(Format::F16, 1e5), (Format::BF16, f32::MAX), (Format::Int4, -1e6)] {
            let mut rows = vec![0.5; 100];
            rows[70] = large;
            let text = format.encode_rows(&rows, 50, &mut Vec::new()).unwrap_err().to_string();
            assert_eq!(text, format!("element 70 is {large}, which the storage format does not reach"), "{format}");
        }
        let ints = Format::F32.encode_raw(SourceType::I64, &[0; 8], 1, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(ints, "holds I64; weights are read from F32, F16, BF16 and F64");
    }

    #[test]
    fn extremes_survive() {
        for format in Format::ALL {
            for row in [vec![0.0; 40], vec![-0.0; 40], vec![1e-42; 40], vec![7.5; 40], vec![-65504.0; 40]] {
                let back = format.decode_rows(&encoded(format, &row, 40), 40);
                let tolerance = row[0].abs() * 0.01 + 1e-7;
                assert!(back.iter().all(|b| (b - row[0]).abs() <= tolerance), "{format}: {} → {back:?}", row[0]);
            }
        }
        assert!(encoded(Format::Int8, &[], 0).is_empty());
    }

    #[test]
    fn the_error_reported_is_the_error_made() {
        let mut rng = SmallRng::seed_from_u64(4);
        let rows = random(&mut rng, 4096, 0.0);
        let error = |format: Format| format.relative_error(&rows, 4096).unwrap();
        assert_eq!(error(Format::F32), 0.0);
        // Uniform weights: a step of 2/254 or 2/15 times √(1/12), over their deviation √(1/3).
        for (format, low, high) in [
            (Format::F16, 1e-4, 3e-4),
            (Format::BF16, 1e-3, 3e-3),
            (Format::Int8, 3e-3, 5e-3),
            (Format::Int4, 5e-2, 7e-2),
        ] {
            assert!((low..high).contains(&error(format)), "{format}: {}", error(format));
        }
        assert_eq!(Format::Int4.relative_error(&[0.0; 8], 8).unwrap(), 0.0);
    }

    #[test]
    fn names_are_read_as_written() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        let error = "fp8".parse::<Format>().unwrap_err();
        assert!(error.is_usage());
        assert_eq!(error.to_string(), r#"unknown dtype "fp8": it is f32, f16, bf16, int8 or int4"#);
        assert_eq!(Format::ALL.map(Format::bits_per_weight), [32, 16, 16, 9, 5]);
    }
}
