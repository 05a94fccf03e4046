//! Blocks of 32 weights that share a scale: int8 and int4.

use half::f16;

use super::Unfit;

/// The weights of a block.
pub const BLOCK: usize = 32;
/// The words of an int8 block: its scale, then 32 bytes.
pub const INT8_WORDS: usize = 1 + BLOCK / 4;
/// The words of an int4 block: its scale and minimum, then 32 nibbles.
pub const INT4_WORDS: usize = 1 + BLOCK / 8;

/// Appends up to 32 weights as `scale · q`, q in −127…127; the rest of the block is zero.
pub fn encode_int8(block: &[f32], out: &mut Vec<u32>) {
    let largest = block.iter().fold(0f32, |m, w| m.max(w.abs()));
    // Weights below 1e-36 become zero: their scale would be subnormal, which a GPU may flush.
    let scale = if largest / 127.0 >= f32::MIN_POSITIVE { largest / 127.0 } else { 0.0 };
    let inverse = if scale > 0.0 { 127.0 / largest } else { 0.0 };
    out.push(scale.to_bits());
    pack::<{ BLOCK / 4 }>(block.iter().map(|w| (w * inverse).round_ties_even() as i8 as u8 as u32), 8, 0, out);
}

/// The weights of int8 blocks, with their places.
pub fn decode_int8(words: &[u32]) -> impl Iterator<Item = (usize, f32)> {
    let weights = words.chunks_exact(INT8_WORDS).flat_map(|block| {
        let scale = f32::from_bits(block[0]);
        (0..BLOCK).map(move |i| scale * f32::from((block[1 + i / 4] >> (8 * (i % 4))) as i8))
    });
    weights.enumerate()
}

/// Appends up to 32 weights as `minimum + scale · q`, q in 0…15. Fails where f16 cannot reach.
///
/// Scale and minimum are rounded outwards before anything is quantised with them, so the rounded range still holds
/// every weight and no error exceeds half a step. A block that is not full is centred instead, `minimum = −8 · scale`
/// exactly, so that its padding (q = 8) is exactly zero.
pub fn encode_int4(block: &[f32], out: &mut Vec<u32>) -> Result<(), Unfit> {
    let lowest = block.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (scale, minimum) = if block.len() == BLOCK {
        let minimum = f16_below(lowest);
        (f16_above((highest - minimum.to_f32()) / 15.0), minimum)
    } else {
        let scale = f16_above((highest / 7.0).max(-lowest / 8.0));
        (scale, f16::from_f32(-8.0 * scale.to_f32()))
    };
    if !scale.is_finite() || !minimum.is_finite() {
        let index = (0..block.len()).max_by(|&a, &b| block[a].abs().total_cmp(&block[b].abs())).unwrap_or(0);
        return Err(Unfit::Value { index, value: block[index] });
    }
    out.push(u32::from(scale.to_bits()) | u32::from(minimum.to_bits()) << 16);
    let (scale, minimum) = (scale.to_f32(), minimum.to_f32());
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let nibble = |w: &f32| ((w - minimum) * inverse).round_ties_even().clamp(0.0, 15.0) as u32;
    pack::<{ BLOCK / 8 }>(block.iter().map(nibble), 4, 8, out);
    Ok(())
}

/// The weights of int4 blocks, with their places.
pub fn decode_int4(words: &[u32]) -> impl Iterator<Item = (usize, f32)> {
    let weights = words.chunks_exact(INT4_WORDS).flat_map(|block| {
        let half = |bits: u32| f16::from_bits(bits as u16).to_f32();
        let (scale, minimum) = (half(block[0]), half(block[0] >> 16));
        (0..BLOCK).map(move |i| minimum + scale * (block[1 + i / 8] >> (4 * (i % 8)) & 15) as f32)
    });
    weights.enumerate()
}

/// Appends `WORDS` words of values of `bits` bits each, the first lowest, filled up with `pad`.
fn pack<const WORDS: usize>(values: impl Iterator<Item = u32>, bits: usize, pad: u32, out: &mut Vec<u32>) {
    let mut words = [0; WORDS];
    for (i, value) in values.chain(std::iter::repeat(pad)).take(BLOCK).enumerate() {
        let per_word = 32 / bits;
        words[i / per_word] |= (value & ((1 << bits) - 1)) << (bits * (i % per_word));
    }
    out.extend(words);
}

/// The largest f16 not above `x`.
fn f16_below(x: f32) -> f16 {
    -f16_above(-x)
}

/// The smallest f16 not below `x`; infinity where there is none.
fn f16_above(x: f32) -> f16 {
    let near = f16::from_f32(x);
    if near.to_f32() >= x {
        return near;
    }
    match near.to_bits() {
        0x8000 => f16::from_bits(1), // −0 stands below the smallest positive number
        bits if bits < 0x8000 => f16::from_bits(bits + 1), // away from zero
        bits => f16::from_bits(bits - 1), // towards zero
    }
}
