// y = act(x · Wᵀ + bias): rows of x, read in place or through a row map, against packed weights decoded on the way.
//
// Everything is made of 4×4 blocks. A block of x is four rows by four steps of k, a block of W four rows (columns of y)
// by the same four steps, both as mat4x4f whose column i is row i; transpose(w) * x is then their product, whose
// column i holds four neighbouring results of row i.
//
// Three ways through the same blocks: `tiled` stages them in workgroup memory, for hardware; `direct` holds larger
// tiles in registers and reads storage, for software adapters; `few` splits k over threads, for four rows or fewer.

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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;          // [M', K], four numbers together
@group(0) @binding(2) var<storage, read> weight: array<vec4u>;     // [columns, row_words], four words together
@group(0) @binding(3) var<storage, read> bias: array<f32>;         // [O]
@group(0) @binding(4) var<storage, read> row_index: array<u32>;    // [M] rows of the sample in x
@group(0) @binding(5) var<storage, read> row_weight: array<f32>;   // [M]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;      // [M, O]

override FORMAT: u32 = 0u;       // 0 f32, 1 f16, 2 bf16, 3 int8, 4 int4
override VEC4: bool = false;     // 4 divides K
override BIAS: bool = false;
override ACTIVATION: u32 = 0u;   // 0 none, 1 silu, 2 gelu (tanh), 3 gelu (erf), 4 relu
override MAPPED: bool = false;   // rows of x go through row_index
override WEIGHTED: bool = false; // and are scaled by row_weight

// ---- Blocks

/// Where four rows of y, from `row` on, begin in x. Rows past the end repeat the last one; nobody stores them.
fn row_starts(row: u32) -> vec4u {
    let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(params.rows - 1u));
    if !MAPPED {
        return rows * params.k;
    }
    let indices = vec4u(row_index[rows.x], row_index[rows.y], row_index[rows.z], row_index[rows.w]);
    return (rows / params.compact * params.source + indices) * params.k;
}

fn x_at(i: u32) -> f32 {
    return x[i / 4u][i % 4u];
}

/// Four numbers of the row of x that begins at `start`, from `k` on, which is a multiple of 4; zero past the row's end.
fn x_numbers(start: u32, k: u32) -> vec4f {
    if VEC4 {
        return select(vec4f(), x[(start + k) / 4u], k < params.k);
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

/// Four weights of a row of W from `k` on. Past the row's end they are any finite number: x is zero there.
fn weight_numbers(row: u32, k: u32) -> vec4f {
    let start = min(row, params.columns - 1u) * params.row_words;
    let at = min(k, (params.k - 1u) & ~3u);
    switch FORMAT {
        case 1u: {
            let word = start + at / 2u;
            return vec4f(unpack2x16float(weight_word(word)), unpack2x16float(weight_word(word + 1u)));
        }
        case 2u: {
            let word = start + at / 2u;
            let pairs = vec2u(weight_word(word), weight_word(word + 1u));
            return bitcast<vec4f>(vec4u(pairs.x << 16u, pairs.x & 0xffff0000u, pairs.y << 16u, pairs.y & 0xffff0000u));
        }
        case 3u: {
            let block = start + at / 32u * 9u;
            let word = bitcast<i32>(weight_word(block + 1u + at % 32u / 4u));
            let bytes = vec4i(word << 24u, word << 16u, word << 8u, word) >> vec4u(24u);
            return bitcast<f32>(weight_word(block)) * vec4f(bytes);
        }
        case 4u: {
            let block = start + at / 32u * 5u;
            let word = weight_word(block + 1u + at % 32u / 8u) >> (at % 8u * 4u);
            let nibbles = vec4u(word, word >> 4u, word >> 8u, word >> 12u) & vec4u(15u);
            let scale = unpack2x16float(weight_word(block));
            return scale.y + scale.x * vec4f(nibbles);
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

// ---- Results

/// erf to 2e-7 (Abramowitz and Stegun 7.1.26).
fn erf(v: f32) -> f32 {
    let a = abs(v);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(v) * (1.0 - poly * exp(-a * a));
}

fn activate(v: f32) -> f32 {
    switch ACTIVATION {
        case 1u: { return v / (1.0 + exp(-v)); }
        // tanh(a) = 1 − 2 / (e^2a + 1), which no argument overflows into NaN.
        case 2u: { return v - v / (exp(1.5957691216 * (v + 0.044715 * v * v * v)) + 1.0); }
        case 3u: { return 0.5 * v * (1.0 + erf(0.7071067812 * v)); }
        case 4u: { return max(v, 0.0); }
        default: { return v; }
    }
}

fn store(row: u32, column: u32, sum: f32) {
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
    y[row * params.width + params.first + column] = activate(v);
}

fn store_row(row: u32, column: u32, sums: vec4f) {
    store(row, column, sums.x);
    store(row, column + 1u, sums.y);
    store(row, column + 2u, sums.z);
    store(row, column + 3u, sums.w);
}

fn store_block(row: u32, column: u32, sums: mat4x4f) {
    store_row(row, column, sums[0]);
    store_row(row + 1u, column, sums[1]);
    store_row(row + 2u, column, sums[2]);
    store_row(row + 3u, column, sums[3]);
}

// ---- Hardware: 64×64 results a workgroup, 8×8 a thread, 16 steps of k staged at a time

var<workgroup> x_tile: array<vec4f, 256>;      // [16 steps of k, 64 rows]
var<workgroup> weight_tile: array<vec4f, 256>; // [16 steps of k, 64 columns]

fn accumulate(sums: mat4x4f, xs: vec4f, weights: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(vec4f(xs.x), weights, sums[0]), fma(vec4f(xs.y), weights, sums[1]),
        fma(vec4f(xs.z), weights, sums[2]), fma(vec4f(xs.w), weights, sums[3]),
    );
}

@compute @workgroup_size(64)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = params.base + workgroup.x + workgroup.y * grid.x;
    let tiles_across = (params.columns + 63u) / 64u;
    let row = tile / tiles_across * 64u;
    let column = tile % tiles_across * 64u;
    if row >= params.rows {
        return;
    }
    // Each thread stages one block of x and one of W; neighbours stage neighbouring rows, which lie on different banks.
    let stage_row = thread % 16u;
    let stage_k = thread / 16u * 4u;
    let starts = row_starts(row + 4u * stage_row);
    // Its results are 4 rows from `down` on and 4 from 32 further, and columns alike.
    let down = thread / 8u;
    let across = thread % 8u;

    var sums0: mat4x4f;
    var sums1: mat4x4f;
    var sums2: mat4x4f;
    var sums3: mat4x4f;
    for (var k = 0u; k < params.k; k += 16u) {
        let xs = transpose(x_block(starts, k + stage_k));
        let weights = transpose(weight_block(column + 4u * stage_row, k + stage_k));
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            x_tile[(stage_k + i) * 16u + stage_row] = xs[i];
            weight_tile[(stage_k + i) * 16u + stage_row] = weights[i];
        }
        workgroupBarrier();
        for (var i = 0u; i < 256u; i += 16u) {
            let x0 = x_tile[i + down];
            let x1 = x_tile[i + down + 8u];
            let weights0 = weight_tile[i + across];
            let weights1 = weight_tile[i + across + 8u];
            sums0 = accumulate(sums0, x0, weights0);
            sums1 = accumulate(sums1, x0, weights1);
            sums2 = accumulate(sums2, x1, weights0);
            sums3 = accumulate(sums3, x1, weights1);
        }
    }
    store_block(row + 4u * down, column + 4u * across, sums0);
    store_block(row + 4u * down, column + 4u * across + 32u, sums1);
    store_block(row + 4u * down + 32u, column + 4u * across, sums2);
    store_block(row + 4u * down + 32u, column + 4u * across + 32u, sums3);
}

// ---- Software: 16×8 results a thread, straight from storage

/// Two blocks side by side.
struct Pair { a: mat4x4f, b: mat4x4f }

fn add_products(sums: Pair, weights: Pair, xs: mat4x4f) -> Pair {
    return Pair(sums.a + weights.a * xs, sums.b + weights.b * xs);
}

fn store_pair(row: u32, column: u32, sums: Pair) {
    store_block(row, column, sums.a);
    store_block(row, column + 4u, sums.b);
}

@compute @workgroup_size(8)
fn direct(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = params.base + workgroup.x + workgroup.y * grid.x;
    let tiles_across = (params.columns + 63u) / 64u;
    let row = tile / tiles_across * 16u;
    let column = tile % tiles_across * 64u + thread * 8u;
    if row >= params.rows {
        return;
    }
    let starts0 = row_starts(row);
    let starts1 = row_starts(row + 4u);
    let starts2 = row_starts(row + 8u);
    let starts3 = row_starts(row + 12u);
    var sums0: Pair;
    var sums1: Pair;
    var sums2: Pair;
    var sums3: Pair;
    for (var k = 0u; k < params.k; k += 4u) {
        let weights = Pair(transpose(weight_block(column, k)), transpose(weight_block(column + 4u, k)));
        sums0 = add_products(sums0, weights, x_block(starts0, k));
        sums1 = add_products(sums1, weights, x_block(starts1, k));
        sums2 = add_products(sums2, weights, x_block(starts2, k));
        sums3 = add_products(sums3, weights, x_block(starts3, k));
    }
    store_pair(row, column, sums0);
    store_pair(row + 4u, column, sums1);
    store_pair(row + 8u, column, sums2);
    store_pair(row + 12u, column, sums3);
}

// ---- Four rows or fewer: 16 columns a workgroup, k dealt out to 16 threads for each 4 of them

var<workgroup> partial: array<mat4x4f, 64>; // [4 groups of columns, 16 threads]

@compute @workgroup_size(64)
fn few(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let column = (params.base + workgroup.x + workgroup.y * grid.x) * 16u;
    if column >= params.columns {
        return;
    }
    let starts = row_starts(0u);
    var sums: mat4x4f;
    for (var k = thread % 16u * 4u; k < params.k; k += 64u) {
        sums += transpose(weight_block(column + thread / 16u * 4u, k)) * x_block(starts, k);
    }
    partial[thread] = sums;
    workgroupBarrier();
    // 4 rows × 16 columns: one result for each thread.
    let row = thread / 16u;
    let across = thread % 16u;
    var sum = 0.0;
    for (var i = across / 4u * 16u; i < across / 4u * 16u + 16u; i++) {
        sum += partial[i][row][across % 4u];
    }
    store(row, column + across, sum);
}
