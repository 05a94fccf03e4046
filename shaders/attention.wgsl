// out = softmax(scale · q · kᵀ + biases) · v for each sample and head, by the online softmax: a tile of scores at a
// time, with a running maximum and sum for each query, so no [Nq, Nk] matrix is ever in memory.
//
// As in linear.wgsl everything is made of 4×4 blocks, mat4x4f whose column i is row i of the block. `staged`, for
// hardware, shares tiles of q, k and v in workgroup memory and does everything; `direct`, for software adapters and the
// shapes that matter there, gives each thread a tile of 16 queries by 16 keys in registers and reads storage.

struct Params {
    base: u32,       // the first workgroup of this portion
    queries: u32,    // Nq
    keys: u32,       // Nk
    heads: u32,      // H
    head_dim: u32,   // D
    samples: u32,    // B
    kv_samples: u32, // 1 or B
    slices: u32,     // staged: workgroups that share out the columns of one head
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
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;     // [B, Nq, H·D]

override VEC4: bool = false;          // 4 divides D and all widths and offsets
override KEY_BIAS: bool = false;
override POSITION_BIAS: bool = false;
override COLUMNS: u32 = 128u;         // staged: of the head, for one workgroup: 32, 64, 96 or 128

/// Stands for −∞, which GPUs need not honour: a row of nothing but this has a uniform softmax, not a NaN.
const LOWEST: f32 = -3.4028234e38;

/// A tile of queries: whose they are, and where its sample and head begin in each value.
struct Place { sample: u32, head: u32, query: u32, q: u32, k: u32, v: u32, out: u32 }

/// The `index`th tile of `size` queries.
fn place(index: u32, size: u32) -> Place {
    let tiles = (params.queries + size - 1u) / size;
    let head = index / tiles % params.heads;
    let sample = index / tiles / params.heads;
    let first_key = sample % params.kv_samples * params.keys;
    let column = head * params.head_dim;
    return Place(
        sample, head, index % tiles * size,
        sample * params.queries * params.q_width + params.q_offset + column,
        first_key * params.k_width + params.k_offset + column,
        first_key * params.v_width + params.v_offset + column,
        sample * params.queries * params.heads * params.head_dim + column,
    );
}

// ---- Blocks in memory: zero past the head's last column. Rows past the end repeat the last one.

const Q: u32 = 0u;
const K: u32 = 1u;
const V: u32 = 2u;

/// `which` is always a constant, so nothing of the switch is left once compiled.
fn load(which: u32, i: u32) -> vec4f {
    switch which {
        case Q: { return q[i]; }
        case K: { return k[i]; }
        default: { return v[i]; }
    }
}

fn four(i: u32) -> vec4u {
    return vec4u(i, i + 1u, i + 2u, i + 3u);
}

/// Columns d … d + 3 of the head whose columns in this row begin at `row`.
fn numbers(which: u32, row: u32, d: u32) -> vec4f {
    let inside = four(d) < vec4u(params.head_dim);
    if VEC4 {
        return select(vec4f(), load(which, (row + d) / 4u), inside);
    }
    let at = row + min(four(d), vec4u(params.head_dim - 1u));
    let i = at / 4u;
    let j = at % 4u;
    let found = vec4f(load(which, i.x)[j.x], load(which, i.y)[j.y], load(which, i.z)[j.z], load(which, i.w)[j.w]);
    return select(vec4f(), found, inside);
}

fn block(which: u32, rows: vec4u, d: u32) -> mat4x4f {
    return mat4x4f(
        numbers(which, rows.x, d), numbers(which, rows.y, d), numbers(which, rows.z, d), numbers(which, rows.w, d),
    );
}

fn q_block(tile: Place, query: u32, d: u32) -> mat4x4f {
    return block(Q, tile.q + min(four(query), vec4u(params.queries - 1u)) * params.q_width, d);
}

fn k_block(tile: Place, key: u32, d: u32) -> mat4x4f {
    return block(K, tile.k + min(four(key), vec4u(params.keys - 1u)) * params.k_width, d);
}

fn v_block(tile: Place, key: u32, d: u32) -> mat4x4f {
    return block(V, tile.v + min(four(key), vec4u(params.keys - 1u)) * params.v_width, d);
}

fn out_row(tile: Place, query: u32) -> u32 {
    return tile.out + query * params.heads * params.head_dim;
}

fn store(row: u32, d: u32, numbers: vec4f) {
    if VEC4 {
        if d < params.head_dim {
            out[(row + d) / 4u] = numbers;
        }
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        if d + i < params.head_dim {
            out[(row + d + i) / 4u][(row + d + i) % 4u] = numbers[i];
        }
    }
}

// ---- Scores and weights of four queries with four keys

/// What is added to the scores of four keys for every query; keys past the end get the lowest there is.
fn key_terms(sample: u32, key: u32) -> vec4f {
    var terms: vec4f;
    if KEY_BIAS {
        let at = sample * params.keys + min(four(key), vec4u(params.keys - 1u));
        terms = vec4f(key_bias[at.x], key_bias[at.y], key_bias[at.z], key_bias[at.w]);
    }
    return select(vec4f(LOWEST), terms, four(key) < vec4u(params.keys));
}

fn scores_of(head: u32, query: u32, key: u32, products: vec4f, terms: vec4f) -> vec4f {
    var scores = params.scale * products + terms;
    if POSITION_BIAS {
        let row = (head * params.queries + min(query, params.queries - 1u)) * params.keys;
        let at = row + min(four(key), vec4u(params.keys - 1u));
        scores += vec4f(position_bias[at.x], position_bias[at.y], position_bias[at.z], position_bias[at.w]);
    }
    return max(scores, vec4f(LOWEST));
}

/// From products to scores, turned so that column j is key j with the four queries.
fn score_block(tile: Place, query: u32, key: u32, products: mat4x4f) -> mat4x4f {
    let terms = key_terms(tile.sample, key);
    return transpose(mat4x4f(
        scores_of(tile.head, query, key, products[0], terms),
        scores_of(tile.head, query + 1u, key, products[1], terms),
        scores_of(tile.head, query + 2u, key, products[2], terms),
        scores_of(tile.head, query + 3u, key, products[3], terms),
    ));
}

/// exp(score − highest), and nothing for keys past the end.
fn weight_block(key: u32, scores: mat4x4f, highest: vec4f) -> mat4x4f {
    let kept = vec4f(four(key) < vec4u(params.keys));
    return mat4x4f(
        kept.x * exp(scores[0] - highest), kept.y * exp(scores[1] - highest),
        kept.z * exp(scores[2] - highest), kept.w * exp(scores[3] - highest),
    );
}

fn largest(block: mat4x4f) -> vec4f {
    return max(max(block[0], block[1]), max(block[2], block[3]));
}

fn sum(block: mat4x4f) -> vec4f {
    return block[0] + block[1] + block[2] + block[3];
}

// ---- Hardware: 64 threads for 32 queries, 32 keys at a time. Thread (group, lane) owns queries 4·group …, keys
// ---- 4·lane … of each tile of scores, and columns 4·lane … of each 32 columns of the output.

var<workgroup> q_tile: array<vec4f, 256>;    // [32 columns of q, 32 queries]
var<workgroup> kv_tile: array<vec4f, 256>;   // [32 columns of k, 32 keys]; then [32 keys, 32 columns of v]
var<workgroup> weights: array<vec4f, 256>;   // [32 keys, 32 queries]
var<workgroup> by_lane: array<vec4f, 64>;    // [8 groups of queries, 8 lanes]

fn outer(sums: mat4x4f, rows: vec4f, columns: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(vec4f(rows.x), columns, sums[0]), fma(vec4f(rows.y), columns, sums[1]),
        fma(vec4f(rows.z), columns, sums[2]), fma(vec4f(rows.w), columns, sums[3]),
    );
}

fn scale_rows(block: mat4x4f, by: vec4f) -> mat4x4f {
    return mat4x4f(block[0] * by.x, block[1] * by.y, block[2] * by.z, block[3] * by.w);
}

/// Adds the weights' product with columns d … d + 31 of the values of keys `key` … to the shrunk sums.
fn add_values(thread: u32, tile: Place, key: u32, d: u32, sums: mat4x4f, shrink: vec4f) -> mat4x4f {
    let values = v_block(tile, key + thread / 8u * 4u, d + thread % 8u * 4u);
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
        kv_tile[(thread / 8u * 4u + i) * 8u + thread % 8u] = values[i];
    }
    workgroupBarrier();
    var added = scale_rows(sums, shrink);
    for (var i = 0u; i < 256u; i += 8u) {
        added = outer(added, weights[i + thread / 8u], kv_tile[i + thread % 8u]);
    }
    return added;
}

fn store_block(tile: Place, query: u32, d: u32, block: mat4x4f) {
    var rows = block;
    for (var i = 0u; i < 4u; i++) {
        if query + i < params.queries {
            store(out_row(tile, query + i), d, rows[i]);
        }
    }
}

@compute @workgroup_size(64)
fn staged(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = params.base + workgroup.x + workgroup.y * grid.x;
    let tile = place(index / params.slices, 32u);
    if tile.sample >= params.samples {
        return;
    }
    let group = thread / 8u;
    let lane = thread % 8u;
    let query = tile.query + group * 4u;
    let column = index % params.slices * COLUMNS;

    var highest = vec4f(LOWEST); // of each of the thread's four queries
    var total = vec4f();         // Σ exp(score − highest) over the thread's own keys
    var out0: mat4x4f;
    var out1: mat4x4f;
    var out2: mat4x4f;
    var out3: mat4x4f;
    for (var first = 0u; first < params.keys; first += 32u) {
        let key = first + lane * 4u;
        // Spelt out: Chromium 156 lets a variable without an initialiser keep the last round's value.
        var products = mat4x4f();
        for (var d = 0u; d < params.head_dim; d += 32u) {
            // Neighbours stage neighbouring rows, which lie on different banks.
            let qs = transpose(q_block(tile, tile.query + lane * 4u, d + group * 4u));
            let ks = transpose(k_block(tile, key, d + group * 4u));
            workgroupBarrier();
            for (var i = 0u; i < 4u; i++) {
                q_tile[(group * 4u + i) * 8u + lane] = qs[i];
                kv_tile[(group * 4u + i) * 8u + lane] = ks[i];
            }
            workgroupBarrier();
            for (var i = 0u; i < 8u * min(32u, params.head_dim - d); i += 8u) {
                products = outer(products, q_tile[i + group], kv_tile[i + lane]);
            }
        }
        let scores = score_block(tile, query, key, products);
        by_lane[thread] = largest(scores);
        workgroupBarrier();
        let before = highest;
        for (var i = 0u; i < 8u; i++) {
            highest = max(highest, by_lane[group * 8u + i]);
        }
        let shrink = exp(before - highest);
        let own = weight_block(key, scores, highest);
        total = total * shrink + sum(own);
        for (var i = 0u; i < 4u; i++) {
            weights[(lane * 4u + i) * 8u + group] = own[i];
        }
        out0 = add_values(thread, tile, first, column, out0, shrink);
        if COLUMNS > 32u { out1 = add_values(thread, tile, first, column + 32u, out1, shrink); }
        if COLUMNS > 64u { out2 = add_values(thread, tile, first, column + 64u, out2, shrink); }
        if COLUMNS > 96u { out3 = add_values(thread, tile, first, column + 96u, out3, shrink); }
    }

    by_lane[thread] = total;
    workgroupBarrier();
    total = vec4f();
    for (var i = 0u; i < 8u; i++) {
        total += by_lane[group * 8u + i];
    }
    let d = column + lane * 4u;
    store_block(tile, query, d, scale_rows(out0, 1.0 / total));
    if COLUMNS > 32u { store_block(tile, query, d + 32u, scale_rows(out1, 1.0 / total)); }
    if COLUMNS > 64u { store_block(tile, query, d + 64u, scale_rows(out2, 1.0 / total)); }
    if COLUMNS > 96u { store_block(tile, query, d + 96u, scale_rows(out3, 1.0 / total)); }
}

// ---- Software, VEC4: a thread for 16 queries, 16 keys at a time, the running result in `out`

/// Four blocks: of four queries with 16 keys, or of 16 keys with four columns.
struct Four { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }

/// Four columns of 16 keys.
fn k_blocks(tile: Place, key: u32, d: u32) -> Four {
    return Four(
        k_block(tile, key, d), k_block(tile, key + 4u, d), k_block(tile, key + 8u, d), k_block(tile, key + 12u, d),
    );
}

/// Adds products of four queries with 16 keys.
fn add_products(sums: Four, ks: Four, qs: mat4x4f) -> Four {
    return Four(
        sums.a + transpose(ks.a) * qs, sums.b + transpose(ks.b) * qs,
        sums.c + transpose(ks.c) * qs, sums.d + transpose(ks.d) * qs,
    );
}

/// Four queries between tiles of keys.
struct Softmax { highest: vec4f, total: vec4f, shrink: vec4f, weights: Four }

/// Takes the products with 16 more keys in.
fn advance(before: Softmax, tile: Place, query: u32, key: u32, products: Four) -> Softmax {
    let a = score_block(tile, query, key, products.a);
    let b = score_block(tile, query, key + 4u, products.b);
    let c = score_block(tile, query, key + 8u, products.c);
    let d = score_block(tile, query, key + 12u, products.d);
    let highest = max(before.highest, max(max(largest(a), largest(b)), max(largest(c), largest(d))));
    let shrink = exp(before.highest - highest);
    let weights = Four(
        weight_block(key, a, highest), weight_block(key + 4u, b, highest),
        weight_block(key + 8u, c, highest), weight_block(key + 12u, d, highest),
    );
    let sums = sum(weights.a) + sum(weights.b) + sum(weights.c) + sum(weights.d);
    return Softmax(highest, before.total * shrink + sums, shrink, weights);
}

/// out = out · shrink + weights · values, for four queries and four columns.
fn update(tile: Place, query: u32, key: u32, d: u32, now: Softmax, vs: Four) {
    let ws = now.weights;
    var rows = vs.a * transpose(ws.a) + vs.b * transpose(ws.b) + vs.c * transpose(ws.c) + vs.d * transpose(ws.d);
    for (var i = 0u; i < 4u; i++) {
        if query + i < params.queries {
            // What the first tile of keys finds there is nobody's.
            let at = (out_row(tile, query + i) + d) / 4u;
            out[at] = rows[i] + select(now.shrink[i] * out[at], vec4f(), key == 0u);
        }
    }
}

/// out = out / total.
fn finish(tile: Place, query: u32, total: vec4f) {
    for (var i = 0u; i < 4u && query + i < params.queries; i++) {
        let row = out_row(tile, query + i) / 4u;
        for (var at = row; at < row + params.head_dim / 4u; at++) {
            out[at] /= total[i];
        }
    }
}

@compute @workgroup_size(8)
fn direct(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
    let tile = place(params.base * 8u + id.x + id.y * grid.x * 8u, 16u);
    if tile.sample >= params.samples {
        return;
    }
    let query = tile.query;
    var row0: Softmax;
    row0.highest = vec4f(LOWEST);
    var row1 = row0;
    var row2 = row0;
    var row3 = row0;
    for (var key = 0u; key < params.keys; key += 16u) {
        var products0 = Four(); // spelt out, as above
        var products1 = Four();
        var products2 = Four();
        var products3 = Four();
        // Eight columns a round, for rounds are counted (see attention.rs); those past the head's last are zeros.
        for (var d = 0u; d < params.head_dim; d += 8u) {
            let ks = k_blocks(tile, key, d);
            products0 = add_products(products0, ks, q_block(tile, query, d));
            products1 = add_products(products1, ks, q_block(tile, query + 4u, d));
            products2 = add_products(products2, ks, q_block(tile, query + 8u, d));
            products3 = add_products(products3, ks, q_block(tile, query + 12u, d));
            let next = k_blocks(tile, key, d + 4u);
            products0 = add_products(products0, next, q_block(tile, query, d + 4u));
            products1 = add_products(products1, next, q_block(tile, query + 4u, d + 4u));
            products2 = add_products(products2, next, q_block(tile, query + 8u, d + 4u));
            products3 = add_products(products3, next, q_block(tile, query + 12u, d + 4u));
        }
        row0 = advance(row0, tile, query, key, products0);
        row1 = advance(row1, tile, query + 4u, key, products1);
        row2 = advance(row2, tile, query + 8u, key, products2);
        row3 = advance(row3, tile, query + 12u, key, products3);
        for (var d = 0u; d < params.head_dim; d += 4u) {
            let vs = Four(
                v_block(tile, key, d), v_block(tile, key + 4u, d),
                v_block(tile, key + 8u, d), v_block(tile, key + 12u, d),
            );
            update(tile, query, key, d, row0, vs);
            update(tile, query + 4u, key, d, row1, vs);
            update(tile, query + 8u, key, d, row2, vs);
            update(tile, query + 12u, key, d, row3, vs);
        }
    }
    finish(tile, query, row0.total);
    finish(tile, query + 4u, row1.total);
    finish(tile, query + 8u, row2.total);
    finish(tile, query + 12u, row3.total);
}
