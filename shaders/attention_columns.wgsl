// How much attention each key receives: column sums of softmax(scale · q · kᵀ + bias), in two passes over tiles of
// scores, so no [Nq, Nk] matrix is ever in memory. `totals` finds each query's highest score and Σ exp(score −
// highest), `columns` adds up each key's weights, which these make known, and `average` takes the mean over the heads.
//
// Both passes hold one side's rows fixed and move along the other's: queries along keys, then keys along queries. As in
// best_match.wgsl a block of products, mat4x4f, has a column for each row that moves by and a component for each row
// held. `tiled…`, for hardware, shares tiles of both sides in workgroup memory; `direct…` is for software adapters.

struct Params {
    base: u32,       // the first workgroup of this portion
    queries: u32,    // Nq
    keys: u32,       // Nk
    heads: u32,      // H
    head_dim: u32,   // D
    samples: u32,    // B
    q_width: u32,    // q is columns offset … offset + H·D of rows of this width, k alike
    q_offset: u32,
    k_width: u32,
    k_offset: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> q: array<vec4f>;               // [B, Nq, q_width], four numbers together
@group(0) @binding(2) var<storage, read> k: array<vec4f>;               // [B, Nk, k_width]
@group(0) @binding(3) var<storage, read> key_bias: array<f32>;          // [B, Nk]
@group(0) @binding(4) var<storage, read_write> totals: array<vec2f>;    // [B, H, Nq]: highest score, 1 / sum

@group(0) @binding(4) var<storage, read> known: array<vec2f>;           // the same, once it is
@group(0) @binding(5) var<storage, read_write> columns: array<f32>;     // [B, H, Nk]

@group(0) @binding(1) var<storage, read> by_head: array<f32>;           // the same, once it is
@group(0) @binding(2) var<storage, read_write> average_of: array<f32>;  // [B, Nk]

override VEC4: bool = false;      // 4 divides D and all widths and offsets
override KEY_BIAS: bool = false;

/// Stands for −∞, which GPUs need not honour: a row of nothing but this has a uniform softmax, not a NaN.
const LOWEST: f32 = -3.4028234e38;

/// A tile of rows held fixed: whose they are, and where their sample and head begin in q and k.
struct Place { sample: u32, head: u32, row: u32, q: u32, k: u32 }

/// The `index`th tile of `size` rows, of which a head has `rows`.
fn place(index: u32, size: u32, rows: u32) -> Place {
    let tiles = (rows + size - 1u) / size;
    let head = index / tiles % params.heads;
    let sample = index / tiles / params.heads;
    let column = head * params.head_dim;
    return Place(
        sample, head, index % tiles * size,
        sample * params.queries * params.q_width + params.q_offset + column,
        sample * params.keys * params.k_width + params.k_offset + column,
    );
}

// ---- Blocks in memory: zero past the head's last column. Rows past the end repeat the last one.

const Q: u32 = 0u;
const K: u32 = 1u;

/// `side` is always a constant, so nothing of the choice is left once compiled.
fn load(side: u32, i: u32) -> vec4f {
    if side == Q {
        return q[i];
    }
    return k[i];
}

fn four(i: u32) -> vec4u {
    return vec4u(i, i + 1u, i + 2u, i + 3u);
}

/// Columns d … d + 3 of the head whose columns in this row begin at `row`.
fn numbers(side: u32, row: u32, d: u32) -> vec4f {
    let inside = four(d) < vec4u(params.head_dim);
    if VEC4 {
        return select(vec4f(), load(side, (row + min(d, params.head_dim - 4u)) / 4u), inside);
    }
    let at = row + min(four(d), vec4u(params.head_dim - 1u));
    let i = at / 4u;
    let j = at % 4u;
    let found = vec4f(load(side, i.x)[j.x], load(side, i.y)[j.y], load(side, i.z)[j.z], load(side, i.w)[j.w]);
    return select(vec4f(), found, inside);
}

fn block(side: u32, tile: Place, row: u32, d: u32) -> mat4x4f {
    var rows: vec4u;
    if side == Q {
        rows = tile.q + min(four(row), vec4u(params.queries - 1u)) * params.q_width;
    } else {
        rows = tile.k + min(four(row), vec4u(params.keys - 1u)) * params.k_width;
    }
    return mat4x4f(
        numbers(side, rows.x, d), numbers(side, rows.y, d), numbers(side, rows.z, d), numbers(side, rows.w, d),
    );
}

// ---- Scores

/// What is added to the scores of four keys.
fn key_terms(sample: u32, key: u32) -> vec4f {
    if KEY_BIAS {
        let at = sample * params.keys + min(four(key), vec4u(params.keys - 1u));
        return vec4f(key_bias[at.x], key_bias[at.y], key_bias[at.z], key_bias[at.w]);
    }
    return vec4f();
}

fn score(products: vec4f, terms: vec4f) -> vec4f {
    return max(params.scale * products + terms, vec4f(LOWEST));
}

/// The scores of four keys for four queries, of which those are held.
fn scores(sample: u32, key: u32, products: mat4x4f) -> mat4x4f {
    let terms = key_terms(sample, key);
    return mat4x4f(
        score(products[0], vec4f(terms.x)), score(products[1], vec4f(terms.y)),
        score(products[2], vec4f(terms.z)), score(products[3], vec4f(terms.w)),
    );
}

fn largest(block: mat4x4f) -> vec4f {
    return max(max(block[0], block[1]), max(block[2], block[3]));
}

/// Σ exp(score − highest) over four keys, without those past the end.
fn weigh(key: u32, scores: mat4x4f, highest: vec4f) -> vec4f {
    let kept = vec4f(four(key) < vec4u(params.keys));
    return kept.x * exp(scores[0] - highest) + kept.y * exp(scores[1] - highest)
        + kept.z * exp(scores[2] - highest) + kept.w * exp(scores[3] - highest);
}

/// Four queries between tiles of keys.
struct Total { highest: vec4f, sum: vec4f }

/// Takes in the products with four keys from key_a on and four from key_b on.
fn advance(before: Total, sample: u32, key_a: u32, products_a: mat4x4f, key_b: u32, products_b: mat4x4f) -> Total {
    let a = scores(sample, key_a, products_a);
    let b = scores(sample, key_b, products_b);
    // Keys past the end repeat the last one, and so raise nothing.
    let highest = max(before.highest, max(largest(a), largest(b)));
    let sum = before.sum * exp(before.highest - highest);
    return Total(highest, sum + weigh(key_a, a, highest) + weigh(key_b, b, highest));
}

fn store_total(tile: Place, query: u32, highest: f32, sum: f32) {
    if query < params.queries {
        totals[(tile.sample * params.heads + tile.head) * params.queries + query] = vec2f(highest, 1.0 / sum);
    }
}

/// A query's highest score and 1 / sum. Past the end it is the last query's, but weighs nothing.
fn known_of(tile: Place, query: u32) -> vec2f {
    let at = (tile.sample * params.heads + tile.head) * params.queries + min(query, params.queries - 1u);
    return known[at] * vec2f(1.0, f32(query < params.queries));
}

/// The weights that a query gives to four keys, which are held.
fn weights_of(tile: Place, query: u32, products: vec4f, terms: vec4f) -> vec4f {
    let of_query = known_of(tile, query);
    return exp(score(products, terms) - of_query.x) * of_query.y;
}

/// The weights of four queries, added up.
fn weights(tile: Place, query: u32, products: mat4x4f, terms: vec4f) -> vec4f {
    return weights_of(tile, query, products[0], terms) + weights_of(tile, query + 1u, products[1], terms)
        + weights_of(tile, query + 2u, products[2], terms) + weights_of(tile, query + 3u, products[3], terms);
}

fn store_column(tile: Place, key: u32, sum: f32) {
    if key < params.keys {
        columns[(tile.sample * params.heads + tile.head) * params.keys + key] = sum;
    }
}

// ---- Hardware: 64 rows held by 64 rows that move by, 8×8 a thread, 16 columns of the head staged at a time

var<workgroup> held_tile: array<vec4f, 256>;    // [16 columns, 64 rows]
var<workgroup> moving_tile: array<vec4f, 256>;  // [16 columns, 64 rows]
var<workgroup> by_lane: array<vec4f, 128>;      // [64 rows held, by fours; 8 threads]
var<workgroup> highest_by_lane: array<vec4f, 128>;

/// Four blocks: a and b of four rows held with two fours moving by, c and d of four others.
struct Four { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }

/// The products of thread (down, across): rows 4·down … and 32 further of those held, 4·across … and 32 further of
/// those that move by, which begin with row `moving`.
fn tile_products(thread: u32, side: u32, tile: Place, moving: u32) -> Four {
    // Neighbours stage neighbouring rows, which lie on different banks.
    let stage_row = thread % 16u;
    let stage_d = thread / 16u * 4u;
    let down = thread / 8u;
    let across = thread % 8u;
    var sums = Four();
    for (var d = 0u; d < params.head_dim; d += 16u) {
        let held = transpose(block(side, tile, tile.row + 4u * stage_row, d + stage_d));
        let by = transpose(block(1u - side, tile, moving + 4u * stage_row, d + stage_d));
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            held_tile[(stage_d + i) * 16u + stage_row] = held[i];
            moving_tile[(stage_d + i) * 16u + stage_row] = by[i];
        }
        workgroupBarrier();
        for (var i = 0u; i < 16u * min(16u, params.head_dim - d); i += 16u) {
            let held0 = held_tile[i + down];
            let held1 = held_tile[i + down + 8u];
            let by0 = moving_tile[i + across];
            let by1 = moving_tile[i + across + 8u];
            sums.a = outer(sums.a, by0, held0);
            sums.b = outer(sums.b, by1, held0);
            sums.c = outer(sums.c, by0, held1);
            sums.d = outer(sums.d, by1, held1);
        }
    }
    return sums;
}

@compute @workgroup_size(64)
fn tiled_totals(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = place(params.base + workgroup.x + workgroup.y * grid.x, 64u, params.queries);
    if tile.sample >= params.samples {
        return;
    }
    // Of the thread's own keys; the eight threads of a query meet at the end.
    var total0 = Total(vec4f(LOWEST), vec4f());
    var total1 = total0;
    for (var first = 0u; first < params.keys; first += 64u) {
        let products = tile_products(thread, Q, tile, first);
        let key = first + thread % 8u * 4u;
        total0 = advance(total0, tile.sample, key, products.a, key + 32u, products.b);
        total1 = advance(total1, tile.sample, key, products.c, key + 32u, products.d);
    }
    highest_by_lane[thread] = total0.highest;
    highest_by_lane[thread + 64u] = total1.highest;
    by_lane[thread] = total0.sum;
    by_lane[thread + 64u] = total1.sum;
    workgroupBarrier();
    // One query for each thread.
    let lanes = thread / 4u * 8u;
    var highest = LOWEST;
    for (var i = lanes; i < lanes + 8u; i++) {
        highest = max(highest, highest_by_lane[i][thread % 4u]);
    }
    var sum = 0.0;
    for (var i = lanes; i < lanes + 8u; i++) {
        sum += by_lane[i][thread % 4u] * exp(highest_by_lane[i][thread % 4u] - highest);
    }
    store_total(tile, tile.row + thread, highest, sum);
}

@compute @workgroup_size(64)
fn tiled_columns(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = place(params.base + workgroup.x + workgroup.y * grid.x, 64u, params.keys);
    if tile.sample >= params.samples {
        return;
    }
    let terms0 = key_terms(tile.sample, tile.row + thread / 8u * 4u);
    let terms1 = key_terms(tile.sample, tile.row + thread / 8u * 4u + 32u);
    var sum0 = vec4f();
    var sum1 = vec4f();
    for (var first = 0u; first < params.queries; first += 64u) {
        let products = tile_products(thread, K, tile, first);
        let query = first + thread % 8u * 4u;
        sum0 += weights(tile, query, products.a, terms0) + weights(tile, query + 32u, products.b, terms0);
        sum1 += weights(tile, query, products.c, terms1) + weights(tile, query + 32u, products.d, terms1);
    }
    by_lane[thread] = sum0;
    by_lane[thread + 64u] = sum1;
    workgroupBarrier();
    // One key for each thread.
    let lanes = thread / 4u * 8u;
    var sum = 0.0;
    for (var i = lanes; i < lanes + 8u; i++) {
        sum += by_lane[i][thread % 4u];
    }
    store_column(tile, tile.row + thread, sum);
}

// ---- Software, VEC4: a thread for 16 rows held, 16 moving by at a time, straight from storage

/// Products of 16 rows held, by fours, with four fours that move by.
struct Square { a: Four, b: Four, c: Four, d: Four }

fn held_blocks(side: u32, tile: Place, row: u32, d: u32) -> Four {
    return Four(
        transpose(block(side, tile, row, d)), transpose(block(side, tile, row + 4u, d)),
        transpose(block(side, tile, row + 8u, d)), transpose(block(side, tile, row + 12u, d)),
    );
}

fn add_products(sums: Four, held: Four, moving: mat4x4f) -> Four {
    return Four(sums.a + held.a * moving, sums.b + held.b * moving, sums.c + held.c * moving, sums.d + held.d * moving);
}

fn square_products(side: u32, tile: Place, moving: u32) -> Square {
    var sums = Square();
    for (var d = 0u; d < params.head_dim; d += 4u) {
        let held = held_blocks(side, tile, tile.row, d);
        sums.a = add_products(sums.a, held, block(1u - side, tile, moving, d));
        sums.b = add_products(sums.b, held, block(1u - side, tile, moving + 4u, d));
        sums.c = add_products(sums.c, held, block(1u - side, tile, moving + 8u, d));
        sums.d = add_products(sums.d, held, block(1u - side, tile, moving + 12u, d));
    }
    return sums;
}

/// Takes in the products of four queries with 16 keys.
fn advance_all(before: Total, sample: u32, key: u32, a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f) -> Total {
    return advance(advance(before, sample, key, a, key + 4u, b), sample, key + 8u, c, key + 12u, d);
}

fn store_totals(tile: Place, query: u32, total: Total) {
    var of_four = total;
    for (var i = 0u; i < 4u; i++) {
        store_total(tile, query + i, of_four.highest[i], of_four.sum[i]);
    }
}

@compute @workgroup_size(8)
fn direct_totals(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
    let tile = place(params.base * 8u + id.x + id.y * grid.x * 8u, 16u, params.queries);
    if tile.sample >= params.samples {
        return;
    }
    var total0 = Total(vec4f(LOWEST), vec4f());
    var total1 = total0;
    var total2 = total0;
    var total3 = total0;
    for (var key = 0u; key < params.keys; key += 16u) {
        let found = square_products(Q, tile, key);
        total0 = advance_all(total0, tile.sample, key, found.a.a, found.b.a, found.c.a, found.d.a);
        total1 = advance_all(total1, tile.sample, key, found.a.b, found.b.b, found.c.b, found.d.b);
        total2 = advance_all(total2, tile.sample, key, found.a.c, found.b.c, found.c.c, found.d.c);
        total3 = advance_all(total3, tile.sample, key, found.a.d, found.b.d, found.c.d, found.d.d);
    }
    store_totals(tile, tile.row, total0);
    store_totals(tile, tile.row + 4u, total1);
    store_totals(tile, tile.row + 8u, total2);
    store_totals(tile, tile.row + 12u, total3);
}

/// The weights that four queries give to 16 keys, added to their sums, whose column i is of four keys.
fn add_weights(sums: mat4x4f, tile: Place, query: u32, products: Four, terms: mat4x4f) -> mat4x4f {
    return mat4x4f(
        sums[0] + weights(tile, query, products.a, terms[0]), sums[1] + weights(tile, query, products.b, terms[1]),
        sums[2] + weights(tile, query, products.c, terms[2]), sums[3] + weights(tile, query, products.d, terms[3]),
    );
}

@compute @workgroup_size(8)
fn direct_columns(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
    let tile = place(params.base * 8u + id.x + id.y * grid.x * 8u, 16u, params.keys);
    if tile.sample >= params.samples {
        return;
    }
    let terms = mat4x4f(
        key_terms(tile.sample, tile.row), key_terms(tile.sample, tile.row + 4u),
        key_terms(tile.sample, tile.row + 8u), key_terms(tile.sample, tile.row + 12u),
    );
    var sums = mat4x4f();
    for (var query = 0u; query < params.queries; query += 16u) {
        let found = square_products(K, tile, query);
        sums = add_weights(sums, tile, query, found.a, terms);
        sums = add_weights(sums, tile, query + 4u, found.b, terms);
        sums = add_weights(sums, tile, query + 8u, found.c, terms);
        sums = add_weights(sums, tile, query + 12u, found.d, terms);
    }
    for (var i = 0u; i < 16u; i++) {
        store_column(tile, tile.row + i, sums[i / 4u][i % 4u]);
    }
}

// ---- The mean over the heads, a thread for each key

@compute @workgroup_size(64)
fn average(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (params.base + workgroup.x + workgroup.y * grid.x) * 64u + thread;
    if i >= params.samples * params.keys {
        return;
    }
    let first = i / params.keys * params.heads * params.keys + i % params.keys;
    var sum = 0.0;
    for (var head = 0u; head < params.heads; head++) {
        sum += by_head[first + head * params.keys];
    }
    average_of[i] = sum / f32(params.heads);
}
