// Weights by eights, for products in f16: what is stored together is loaded once.

override VEC8: bool = false;        // 8 divides K

/// Eight weights of a row of W from `k` on, which is a multiple of 8, as of `weight_numbers`.
struct Eight { low: vec4f, high: vec4f }

fn eight_weights(row: u32, k: u32) -> Eight {
    let start = min(row, params.columns - 1u) * params.row_words;
    let at = min(k, (params.k - 1u) & ~7u);
    if FORMAT == 1u && VEC8 {
        let words = weight[(start + at / 2u) / 4u];
        return Eight(
            vec4f(unpack2x16float(words.x), unpack2x16float(words.y)),
            vec4f(unpack2x16float(words.z), unpack2x16float(words.w)),
        );
    }
    if FORMAT == 3u {
        let block = start + at / 32u * 9u;
        let first = block + 1u + at % 32u / 4u;
        let scale = bitcast<f32>(weight_word(block));
        return Eight(scale * four_bytes(weight_word(first)), scale * four_bytes(weight_word(first + 1u)));
    }
    if FORMAT == 4u {
        let block = start + at / 32u * 5u;
        let word = weight_word(block + 1u + at % 32u / 8u);
        let scale = unpack2x16float(weight_word(block));
        return Eight(scale.y + scale.x * four_nibbles(word), scale.y + scale.x * four_nibbles(word >> 16u));
    }
    return Eight(weight_numbers(row, k), weight_numbers(row, k + 4u));
}
