// out = softmax(scale · q · kᵀ + biases) · v for each sample and head, by the online softmax: a tile of scores at a
// time, with a running maximum and sum for each query, so no [Nq, Nk] matrix is ever in memory.
//
// `staged`: a workgroup of 64 threads takes 32 queries, 32 keys at a time. As in linear.wgsl everything is made of 4×4
// blocks: thread (group, lane) owns queries 4·group … of the tile, keys 4·lane … of each tile of scores, and columns
// 4·lane … of each 32 columns of the output.

struct Params {
    queries: u32,    // Nq
    keys: u32,       // Nk
    heads: u32,      // H
    head_dim: u32,   // D
    samples: u32,    // B
    kv_samples: u32, // 1 or B
    slices: u32,     // workgroups that share out the columns of one head
    q_width: u32,    // q is columns offset … offset + H·D of rows of this width, k and v alike
    q_offset: u32,
    k_width: u32,
    k_offset: u32,
    v_width: u32,
    v_offset: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;             // [B, Nq, q_width], four numbers together
@group(0) @binding(2) var<storage, read> k: array<vec4f>;             // [1 or B, Nk, k_width]
@group(0) @binding(3) var<storage, read> v: array<vec4f>;             // [1 or B, Nk, v_width]
@group(0) @binding(4) var<storage, read> key_bias: array<f32>;        // [B, Nk]
@group(0) @binding(5) var<storage, read> position_bias: array<f32>;   // [H, Nq, Nk]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;       // [B, Nq, H·D]

override VEC4: bool = false;          // 4 divides D and all widths and offsets
override KEY_BIAS: bool = false;
override POSITION_BIAS: bool = false;
override COLUMNS: u32 = 128u;         // of the output, for one workgroup: 32, 64, 96 or 128

/// Stands for −∞, which GPUs need not honour: a row of nothing but this has a uniform softmax, not a NaN.
const LOWEST: f32 = -3.4028234e38;

// ---- Blocks: four rows by four columns of a head, zero past its last column. Rows past the end repeat the last one.

fn columns_of(d: u32) -> vec4u {
    return min(vec4u(d, d + 1u, d + 2u, d + 3u), vec4u(params.head_dim - 1u));
}

fn inside(d: u32) -> vec4<bool> {
    return vec4u(d, d + 1u, d + 2u, d + 3u) < vec4u(params.head_dim);
}

fn q_at(i: u32) -> f32 { return q[i / 4u][i % 4u]; }
fn k_at(i: u32) -> f32 { return k[i / 4u][i % 4u]; }
fn v_at(i: u32) -> f32 { return v[i / 4u][i % 4u]; }

fn q_numbers(start: u32, row: u32, d: u32) -> vec4f {
    let begin = start + min(row, params.queries - 1u) * params.q_width;
    if VEC4 {
        return select(vec4f(), q[(begin + d) / 4u], inside(d));
    }
    let at = begin + columns_of(d);
    return select(vec4f(), vec4f(q_at(at.x), q_at(at.y), q_at(at.z), q_at(at.w)), inside(d));
}

fn k_numbers(start: u32, row: u32, d: u32) -> vec4f {
    let begin = start + min(row, params.keys - 1u) * params.k_width;
    if VEC4 {
        return select(vec4f(), k[(begin + d) / 4u], inside(d));
    }
    let at = begin + columns_of(d);
    return select(vec4f(), vec4f(k_at(at.x), k_at(at.y), k_at(at.z), k_at(at.w)), inside(d));
}

fn v_numbers(start: u32, row: u32, d: u32) -> vec4f {
    let begin = start + min(row, params.keys - 1u) * params.v_width;
    if VEC4 {
        return select(vec4f(), v[(begin + d) / 4u], inside(d));
    }
    let at = begin + columns_of(d);
    return select(vec4f(), vec4f(v_at(at.x), v_at(at.y), v_at(at.z), v_at(at.w)), inside(d));
}

fn q_block(start: u32, row: u32, d: u32) -> mat4x4f {
    return mat4x4f(
        q_numbers(start, row, d), q_numbers(start, row + 1u, d),
        q_numbers(start, row + 2u, d), q_numbers(start, row + 3u, d),
    );
}

fn k_block(start: u32, row: u32, d: u32) -> mat4x4f {
    return mat4x4f(
        k_numbers(start, row, d), k_numbers(start, row + 1u, d),
        k_numbers(start, row + 2u, d), k_numbers(start, row + 3u, d),
    );
}

/// What is added to the scores of one query with four keys; keys past the end get the lowest there is.
fn bias_of(sample: u32, head: u32, query: u32, key: u32, scores: vec4f) -> vec4f {
    let keys = vec4u(key, key + 1u, key + 2u, key + 3u);
    let at = min(keys, vec4u(params.keys - 1u));
    var biased = params.scale * scores;
    if KEY_BIAS {
        let i = sample * params.keys + at;
        biased += vec4f(key_bias[i.x], key_bias[i.y], key_bias[i.z], key_bias[i.w]);
    }
    if POSITION_BIAS {
        let i = (head * params.queries + min(query, params.queries - 1u)) * params.keys + at;
        biased += vec4f(position_bias[i.x], position_bias[i.y], position_bias[i.z], position_bias[i.w]);
    }
    return max(select(vec4f(LOWEST), biased, keys < vec4u(params.keys)), vec4f(LOWEST));
}

fn outer(sums: mat4x4f, rows: vec4f, columns: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(vec4f(rows.x), columns, sums[0]), fma(vec4f(rows.y), columns, sums[1]),
        fma(vec4f(rows.z), columns, sums[2]), fma(vec4f(rows.w), columns, sums[3]),
    );
}

fn scale_rows(rows: mat4x4f, by: vec4f) -> mat4x4f {
    return mat4x4f(rows[0] * by.x, rows[1] * by.y, rows[2] * by.z, rows[3] * by.w);
}

// ---- Hardware

var<workgroup> q_tile: array<vec4f, 256>;      // [32 columns of q, 32 queries]
var<workgroup> kv_tile: array<vec4f, 256>;     // [32 columns of k, 32 keys]; then [32 keys, 32 columns of v]
var<workgroup> weights: array<vec4f, 256>;     // [32 keys, 32 queries]
var<workgroup> maxima: array<vec4f, 64>;       // [8 groups, 8 lanes]

/// Adds the product of the tile's weights with columns d … d + 31 of its values.
fn add_values(thread: u32, start: u32, first: u32, d: u32, sums: mat4x4f) -> mat4x4f {
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
        let row = thread / 8u * 4u + i;
        kv_tile[row * 8u + thread % 8u] = v_numbers(start, first + row, d + thread % 8u * 4u);
    }
    workgroupBarrier();
    var added = sums;
    for (var i = 0u; i < 256u; i += 8u) {
        added = outer(added, weights[i + thread / 8u], kv_tile[i + thread % 8u]);
    }
    return added;
}

@compute @workgroup_size(64)
fn staged(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tiles = (params.queries + 31u) / 32u;
    let index = workgroup.x + workgroup.y * grid.x;
    let query = index % tiles * 32u;
    let slice = index / tiles % params.slices;
    let head = index / tiles / params.slices % params.heads;
    let sample = index / tiles / params.slices / params.heads;
    if sample >= params.samples {
        return;
    }
    let kv_sample = sample % params.kv_samples;
    let head_column = head * params.head_dim;
    let q_start = sample * params.queries * params.q_width + params.q_offset + head_column;
    let k_start = kv_sample * params.keys * params.k_width + params.k_offset + head_column;
    let v_start = kv_sample * params.keys * params.v_width + params.v_offset + head_column;
    let column = slice * COLUMNS;
    let group = thread / 8u;
    let lane = thread % 8u;

    var highest = vec4f(LOWEST); // of each of the thread's four queries
    var total = vec4f();         // Σ exp(score − highest) over the thread's own keys
    var out0: mat4x4f;
    var out1: mat4x4f;
    var out2: mat4x4f;
    var out3: mat4x4f;
    for (var first = 0u; first < params.keys; first += 32u) {
        var scores: mat4x4f; // column i: query i with four keys
        for (var d = 0u; d < params.head_dim; d += 32u) {
            // Neighbours stage neighbouring rows, which lie on different banks.
            let qs = transpose(q_block(q_start, query + lane * 4u, d + group * 4u));
            let ks = transpose(k_block(k_start, first + lane * 4u, d + group * 4u));
            workgroupBarrier();
            for (var i = 0u; i < 4u; i++) {
                q_tile[(group * 4u + i) * 8u + lane] = qs[i];
                kv_tile[(group * 4u + i) * 8u + lane] = ks[i];
            }
            workgroupBarrier();
            for (var i = 0u; i < 8u * min(32u, params.head_dim - d); i += 8u) {
                scores = outer(scores, q_tile[i + group], kv_tile[i + lane]);
            }
        }
        let key = first + lane * 4u;
        for (var i = 0u; i < 4u; i++) {
            scores[i] = bias_of(sample, head, query + group * 4u + i, key, scores[i]);
        }
        // transposed: column j is key j with four queries
        var by_key = transpose(scores);
        maxima[thread] = max(max(by_key[0], by_key[1]), max(by_key[2], by_key[3]));
        workgroupBarrier();
        var new_highest = highest;
        for (var i = 0u; i < 8u; i++) {
            new_highest = max(new_highest, maxima[group * 8u + i]);
        }
        let shrink = exp(highest - new_highest);
        highest = new_highest;
        total *= shrink;
        for (var j = 0u; j < 4u; j++) {
            let weight = select(vec4f(), exp(by_key[j] - highest), key + j < params.keys);
            total += weight;
            weights[(lane * 4u + j) * 8u + group] = weight;
        }
        out0 = add_values(thread, v_start, first, column, scale_rows(out0, shrink));
        if COLUMNS > 32u { out1 = add_values(thread, v_start, first, column + 32u, scale_rows(out1, shrink)); }
        if COLUMNS > 64u { out2 = add_values(thread, v_start, first, column + 64u, scale_rows(out2, shrink)); }
        if COLUMNS > 96u { out3 = add_values(thread, v_start, first, column + 96u, scale_rows(out3, shrink)); }
    }

    maxima[thread] = total;
    workgroupBarrier();
    total = vec4f();
    for (var i = 0u; i < 8u; i++) {
        total += maxima[group * 8u + i];
    }
    let row = sample * params.queries + query + group * 4u;
    let rows = min(4u, params.queries - min(params.queries, query + group * 4u));
    let at = row * params.heads * params.head_dim + head_column;
    store(at, rows, column + lane * 4u, scale_rows(out0, 1.0 / total));
    if COLUMNS > 32u { store(at, rows, column + lane * 4u + 32u, scale_rows(out1, 1.0 / total)); }
    if COLUMNS > 64u { store(at, rows, column + lane * 4u + 64u, scale_rows(out2, 1.0 / total)); }
    if COLUMNS > 96u { store(at, rows, column + lane * 4u + 96u, scale_rows(out3, 1.0 / total)); }
}

/// Writes `rows` rows of a block of the head whose first number is `out[at]`.
fn store(at: u32, rows: u32, d: u32, block: mat4x4f) {
    var values = block;
    for (var i = 0u; i < rows; i++) {
        for (var j = 0u; j < min(4u, params.head_dim - min(params.head_dim, d)); j++) {
            out[at + i * params.heads * params.head_dim + d + j] = values[i][j];
        }
    }
}
