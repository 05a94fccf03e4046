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
use serde::{Deserialize, Serialize};

use super::blocks::{self, BLOCK};
use super::values::{append_f32, check_finite, each};
use super::{SourceType, Unfit};
use crate::{Error, Result};

/// How the weights of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

/// A length rounded up to whole vectors of four.
fn to_fours(length: usize) -> usize {
    length.div_ceil(4).saturating_mul(4)
}

impl Format {
    /// All formats, the most exact first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::BF16, Self::Int8, Self::Int4];

    /// The words of a row of `k` weights.
    pub fn row_words(self, k: usize) -> usize {
        match self {
            Self::F32 => to_fours(k),
            Self::F16 | Self::BF16 => to_fours(k) / 2,
            Self::Int8 => k.div_ceil(BLOCK).saturating_mul(blocks::INT8_WORDS),
            Self::Int4 => k.div_ceil(BLOCK).saturating_mul(blocks::INT4_WORDS),
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

impl TryFrom<String> for Format {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.to_string()
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
mod tests;
