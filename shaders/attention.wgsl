// out = softmax(scale · q · kᵀ + biases) · v for each sample and head, by the online softmax: a tile of scores at a
// time, with a running maximum and sum for each query, so no [Nq, Nk] matrix is ever in memory.
//
// What it reads and writes is in shared/heads.wgsl. `staged`, for hardware, shares tiles of q, k and v in workgroup memory
// and does everything; `direct`, for software adapters and the shapes that matter there, gives each thread a tile of 16
// queries by 16 keys in registers and reads storage (shared/attend.wgsl).

// ---- Hardware: 64 threads for 32 queries, 32 keys at a time. Thread (group, lane) owns queries 4·group …, keys
// ---- 4·lane … of each tile of scores, and columns 4·lane … of each 32 columns of the output.

override COLUMNS: u32 = 128u;   // staged: of the head, for one workgroup: 32, 64, 96 or 128

var<workgroup> q_tile: array<vec4f, 256>;    // [32 columns of q, 32 queries]
var<workgroup> kv_tile: array<vec4f, 256>;   // [32 columns of k, 32 keys]; then [32 keys, 32 columns of v]
var<workgroup> weights: array<vec4f, 256>;   // [32 keys, 32 queries]
var<workgroup> by_lane: array<vec4f, 64>;    // [8 groups of queries, 8 lanes]

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

// ---- Software

/// Four columns of 16 keys, four keys a block.
fn k_blocks(tile: Place, key: u32, d: u32, lane: u32) -> Four {
    return Four(
        k_block(tile, key, d), k_block(tile, key + 4u, d), k_block(tile, key + 8u, d), k_block(tile, key + 12u, d),
    );
}

fn v_blocks(tile: Place, key: u32, d: u32, lane: u32) -> Four {
    return Four(
        v_block(tile, key, d), v_block(tile, key + 4u, d), v_block(tile, key + 8u, d), v_block(tile, key + 12u, d),
    );
}

@compute @workgroup_size(8)
fn direct(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
    let tile = place(params.base * 8u + id.x + id.y * grid.x * 8u, 16u);
    if tile.sample >= params.samples {
        return;
    }
    attend(tile, 0u);
}
