//! Placeholder until the weights floor lands.

/// How a weight matrix lies on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// Half precision, two per word.
    F16,
    /// bfloat16, two per word.
    BF16,
    /// Blocks of 32: an f32 scale, then 32 signed bytes.
    Int8,
    /// Blocks of 32: f16 scale and minimum, then 32 nibbles.
    Int4,
}

impl Format {
    /// Words of a row of `k` weights.
    pub fn row_words(self, k: usize) -> usize {
        match self {
            Self::F32 => k.next_multiple_of(4),
            Self::F16 | Self::BF16 => k.next_multiple_of(4) / 2,
            Self::Int8 => k.div_ceil(32) * 9,
            Self::Int4 => k.div_ceil(32) * 5,
        }
    }

    /// Packs rows.
    pub fn encode_rows(self, rows: &[f32], k: usize, out: &mut Vec<u32>) {
        for row in rows.chunks_exact(k) {
            let start = out.len();
            out.extend(row.iter().map(|v| v.to_bits()));
            out.resize(start + self.row_words(k), 0);
        }
    }

    /// Unpacks rows.
    pub fn decode_rows(self, words: &[u32], k: usize) -> Vec<f32> {
        words.chunks_exact(self.row_words(k)).flat_map(|r| r[..k].iter().map(|w| f32::from_bits(*w))).collect()
    }
}
