// What a matrix product y = act(x · Wᵀ + bias) reads and writes: rows of x, in place or through a row map, weights as
// they are packed, and results with all that follows the sum.
//
// Everything is made of 4×4 blocks. A block of x is four rows by four steps of k, a block of W four rows (columns of y)
// by the same four steps, both as mat4x4f whose column i is row i; transpose(w) * x is then their product, whose
// column i holds four neighbouring results of row i.

struct Params {
    base: u32,       // the first workgroup of this portion
    rows: u32,       // M: rows of y
    columns: u32,    // rows of this part of W
    k: u32,          // K: columns of x
    row_words: u32,  // words of a row of W
    first: u32,      // the column of y that this part's row 0 gives
    width: u32,      // O: columns of y
    compact: u32,    // MAPPED: rows of y per sample
    source: u32,     // MAPPED: rows of x per sample
    slices: u32,     // parts of k that are summed apart: 1, unless y is [slices, M, O]
    slice_k: u32,    // steps of k in a slice
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;          // [M', K], four numbers together
@group(0) @binding(2) var<storage, read> weight: array<vec4u>;     // [columns, row_words], four words together
@group(0) @binding(3) var<storage, read> bias: array<f32>;         // [O]
@group(0) @binding(4) var<storage, read> row_index: array<u32>;    // [M] rows of the sample in x
@group(0) @binding(5) var<storage, read> row_weight: array<f32>;   // [M]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;      // [M, O], or [slices, M, O]

override FORMAT: u32 = 0u;         // 0 f32, 1 f16, 2 bf16, 3 int8, 4 int4
override VEC4: bool = false;       // 4 divides K
override BIAS: bool = false;
override MAPPED: bool = false;     // rows of x go through row_index
override WEIGHTED: bool = false;   // and are scaled by row_weight
override WIDE_LOADS: bool = false; // halves are loaded by four words and not one by one, as GPUs prefer it

// ---- Blocks

/// Where a row of y begins in x. Rows past the end repeat the last one; nobody stores them.
fn row_start(row: u32) -> u32 {
    let inside = min(row, params.rows - 1u);
    if !MAPPED {
        return inside * params.k;
    }
    // An index beyond the sample's rows would leave x.
    return (inside / params.compact * params.source + min(row_index[inside], params.source - 1u)) * params.k;
}

/// The same of four rows from `row` on.
fn row_starts(row: u32) -> vec4u {
    return vec4u(row_start(row), row_start(row + 1u), row_start(row + 2u), row_start(row + 3u));
}

fn x_at(i: u32) -> f32 {
    return x[i / 4u][i % 4u];
}

/// Four numbers of the row of x that begins at `start`, from `k` on, which is a multiple of 4; zero past the row's end.
fn x_numbers(start: u32, k: u32) -> vec4f {
    if VEC4 {
        return select(vec4f(), x[(start + min(k, params.k - 4u)) / 4u], k < params.k);
    }
    let ks = vec4u(k, k + 1u, k + 2u, k + 3u);
    let at = start + min(ks, vec4u(params.k - 1u));
    return select(vec4f(), vec4f(x_at(at.x), x_at(at.y), x_at(at.z), x_at(at.w)), ks < vec4u(params.k));
}

fn x_block(starts: vec4u, k: u32) -> mat4x4f {
    return mat4x4f(x_numbers(starts.x, k), x_numbers(starts.y, k), x_numbers(starts.z, k), x_numbers(starts.w, k));
}

fn weight_word(i: u32) -> u32 {
    return weight[i / 4u][i % 4u];
}

/// Two words of W from the even `i` on.
fn two_words(i: u32) -> vec2u {
    if WIDE_LOADS {
        let words = weight[i / 4u];
        return select(words.xy, words.zw, (i & 2u) != 0u);
    }
    return vec2u(weight_word(i), weight_word(i + 1u));
}

fn four_bytes(word: u32) -> vec4f {
    let bytes = bitcast<i32>(word);
    return vec4f(vec4i(bytes << 24u, bytes << 16u, bytes << 8u, bytes) >> vec4u(24u));
}

/// Of the lower half.
fn four_nibbles(word: u32) -> vec4f {
    return vec4f(vec4u(word, word >> 4u, word >> 8u, word >> 12u) & vec4u(15u));
}

/// Four weights of a row of W from `k` on. Past the row's end they are any finite number: x is zero there.
fn weight_numbers(row: u32, k: u32) -> vec4f {
    let start = min(row, params.columns - 1u) * params.row_words;
    let at = min(k, (params.k - 1u) & ~3u);
    switch FORMAT {
        case 1u: {
            let pair = two_words(start + at / 2u);
            return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
        }
        case 2u: {
            let pair = two_words(start + at / 2u);
            return bitcast<vec4f>(vec4u(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
        }
        case 3u: {
            let block = start + at / 32u * 9u;
            return bitcast<f32>(weight_word(block)) * four_bytes(weight_word(block + 1u + at % 32u / 4u));
        }
        case 4u: {
            let block = start + at / 32u * 5u;
            let word = weight_word(block + 1u + at % 32u / 8u) >> (at % 8u * 4u);
            let scale = unpack2x16float(weight_word(block));
            return scale.y + scale.x * four_nibbles(word);
        }
        default: {
            return bitcast<vec4f>(weight[(start + at) / 4u]);
        }
    }
}

fn weight_block(row: u32, k: u32) -> mat4x4f {
    return mat4x4f(
        weight_numbers(row, k), weight_numbers(row + 1u, k), weight_numbers(row + 2u, k), weight_numbers(row + 3u, k),
    );
}

/// Two blocks side by side: eight columns of y.
struct Pair { left: mat4x4f, right: mat4x4f }

/// Eight rows of W by four steps of k, transposed.
fn weight_blocks(row: u32, k: u32) -> Pair {
    return Pair(transpose(weight_block(row, k)), transpose(weight_block(row + 4u, k)));
}

fn add_products(sums: Pair, weights: Pair, xs: mat4x4f) -> Pair {
    return Pair(sums.left + weights.left * xs, sums.right + weights.right * xs);
}

// ---- Results

fn store(slice: u32, row: u32, column: u32, sum: f32) {
    if row >= params.rows || column >= params.columns {
        return;
    }
    var v = sum;
    if WEIGHTED {
        v *= row_weight[row];
    }
    if BIAS {
        v += bias[params.first + column];
    }
    y[(slice * params.rows + row) * params.width + params.first + column] = activate(v);
}

fn store_row(slice: u32, row: u32, column: u32, sums: vec4f) {
    store(slice, row, column, sums.x);
    store(slice, row, column + 1u, sums.y);
    store(slice, row, column + 2u, sums.z);
    store(slice, row, column + 3u, sums.w);
}

/// Stores a block of results from (`row`, `column`) on, of one slice of k: 0 where there is one alone.
fn store_block(slice: u32, row: u32, column: u32, sums: mat4x4f) {
    store_row(slice, row, column, sums[0]);
    store_row(slice, row + 1u, column, sums[1]);
    store_row(slice, row + 2u, column, sums[2]);
    store_row(slice, row + 3u, column, sums[3]);
}

fn store_pair(row: u32, column: u32, sums: Pair) {
    store_block(0u, row, column, sums.left);
    store_block(0u, row, column + 4u, sums.right);
}
