// `staged` of attention.wgsl with tiles of 64 queries: 64 threads, 32 keys at a time, for GPUs that so large tiles fill. A
// thread does twice as many multiply-adds for what it reads from workgroup memory, which bounds `staged`. It takes more
// registers for it.
//
// Thread (group, lane) owns queries 4·group … and 32 + 4·group …; keys 4·lane … of each tile of scores; and columns
// 4·lane … of each 32 columns of the output.

override COLUMNS: u32 = 128u;   // of the head, for one workgroup: 32, 64, 96 or 128

// q is staged anew for each tile of keys: to keep it, beside the rest, would take more than the 16 KiB that WebGPU grants.
var<workgroup> left: array<vec4f, 512>;   // [16 columns of q, 64 queries]; then the weights, [32 keys, 64 queries]
var<workgroup> right: array<vec4f, 256>;  // [16 columns of k, 32 keys]; then the highest scores, [2, 8 groups, 8 lanes];
                                          // then [16 keys, 64 columns of v]

/// Of a thread's queries, those above and those below, with its keys or with four columns.
struct Pair { above: mat4x4f, below: mat4x4f }

/// Four columns, and four that lie 32 further.
struct Sums { left: Pair, right: Pair }

/// A number for each of a thread's queries.
struct Eight { above: vec4f, below: vec4f }

fn scaled(sums: Pair, by: Eight) -> Pair {
    return Pair(scale_rows(sums.above, by.above), scale_rows(sums.below, by.below));
}

/// Adds one step of a product: the thread's queries in `left`, from place `at` on, with four numbers of `right`.
fn add_step(sums: Pair, at: u32, numbers: vec4f) -> Pair {
    return Pair(outer(sums.above, left[at], numbers), outer(sums.below, left[at + 8u], numbers));
}

/// The thread's queries with its keys.
fn products(thread: u32, tile: Place, first: u32) -> Pair {
    // A thread stages four columns of four queries, half of them as many of four keys. Neighbours stage neighbouring rows,
    // which lie on different banks.
    let query_group = thread % 16u;
    let query_column = thread / 16u * 4u;
    let key_group = thread % 8u;
    let key_column = thread / 8u * 4u;
    // Spelt out: Chromium 156 lets a variable without an initialiser keep the last round's value.
    var sums = Pair();
    for (var d = 0u; d < params.head_dim; d += 16u) {
        let qs = transpose(q_block(tile, tile.query + 4u * query_group, d + query_column));
        var ks: mat4x4f;
        if key_column < 16u {
            ks = transpose(k_block(tile, first + 4u * key_group, d + key_column));
        }
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            left[(query_column + i) * 16u + query_group] = qs[i];
        }
        if key_column < 16u {
            for (var i = 0u; i < 4u; i++) {
                right[(key_column + i) * 8u + key_group] = ks[i];
            }
        }
        workgroupBarrier();
        // Four columns a round; those past the head's last are zeros.
        var left_at = thread / 8u;
        var right_at = thread % 8u;
        for (var step = 0u; step < min(16u, params.head_dim - d); step += 4u) {
            sums = add_step(sums, left_at, right[right_at]);
            sums = add_step(sums, left_at + 16u, right[right_at + 8u]);
            sums = add_step(sums, left_at + 32u, right[right_at + 16u]);
            sums = add_step(sums, left_at + 48u, right[right_at + 24u]);
            left_at += 64u;
            right_at += 32u;
        }
    }
    return sums;
}

/// Adds the weights' product with 64 columns of the values of keys `first` …, from column d on; with 32 where `both` is false.
fn add_values(thread: u32, tile: Place, first: u32, d: u32, both: bool, before: Sums) -> Sums {
    var sums = before;
    var left_at = thread / 8u;
    for (var key = 0u; key < 32u; key += 16u) {
        let values = v_block(tile, first + key + thread / 16u * 4u, d + thread % 16u * 4u);
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            right[(thread / 16u * 4u + i) * 16u + thread % 16u] = values[i];
        }
        workgroupBarrier();
        var right_at = thread % 8u;
        for (var step = 0u; step < 16u; step += 2u) {
            sums.left = add_step(sums.left, left_at, right[right_at]);
            if both {
                sums.right = add_step(sums.right, left_at, right[right_at + 8u]);
            }
            sums.left = add_step(sums.left, left_at + 16u, right[right_at + 16u]);
            if both {
                sums.right = add_step(sums.right, left_at + 16u, right[right_at + 24u]);
            }
            left_at += 32u;
            right_at += 32u;
        }
    }
    return sums;
}

fn store_pair(tile: Place, query: u32, d: u32, sums: Pair, by: Eight) {
    let rows = scaled(sums, by);
    store_block(tile, query, d, rows.above);
    store_block(tile, query + 32u, d, rows.below);
}

@compute @workgroup_size(64)
fn wide(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = params.base + workgroup.x + workgroup.y * grid.x;
    let tile = place(index / params.slices, 64u);
    if tile.sample >= params.samples {
        return;
    }
    let group = thread / 8u;
    let lane = thread % 8u;
    let query = tile.query + group * 4u;
    let column = index % params.slices * COLUMNS;

    var highest = Eight(vec4f(LOWEST), vec4f(LOWEST));
    var total: Eight; // Σ exp(score − highest) over the thread's own keys
    var out0: Sums;   // columns 0 … 63
    var out1: Sums;   // columns 64 … 127
    for (var first = 0u; first < params.keys; first += 32u) {
        let key = first + lane * 4u;
        let dots = products(thread, tile, first);
        let above = score_block(tile, query, key, dots.above);
        let below = score_block(tile, query + 32u, key, dots.below);
        workgroupBarrier();
        right[thread] = largest(above);
        right[64u + thread] = largest(below);
        workgroupBarrier();
        let before = highest;
        for (var i = 0u; i < 8u; i++) {
            highest.above = max(highest.above, right[group * 8u + i]);
            highest.below = max(highest.below, right[64u + group * 8u + i]);
        }
        let shrink = Eight(exp(before.above - highest.above), exp(before.below - highest.below));
        let own_above = weight_block(key, above, highest.above);
        let own_below = weight_block(key, below, highest.below);
        total.above = total.above * shrink.above + sum(own_above);
        total.below = total.below * shrink.below + sum(own_below);
        for (var i = 0u; i < 4u; i++) {
            left[(lane * 4u + i) * 16u + group] = own_above[i];
            left[(lane * 4u + i) * 16u + 8u + group] = own_below[i];
        }
        out0.left = scaled(out0.left, shrink);
        if COLUMNS > 32u { out0.right = scaled(out0.right, shrink); }
        out0 = add_values(thread, tile, first, column, COLUMNS > 32u, out0);
        if COLUMNS > 64u {
            out1.left = scaled(out1.left, shrink);
            if COLUMNS > 96u { out1.right = scaled(out1.right, shrink); }
            out1 = add_values(thread, tile, first, column + 64u, COLUMNS > 96u, out1);
        }
    }

    workgroupBarrier();
    right[thread] = total.above;
    right[64u + thread] = total.below;
    workgroupBarrier();
    total = Eight();
    for (var i = 0u; i < 8u; i++) {
        total.above += right[group * 8u + i];
        total.below += right[64u + group * 8u + i];
    }
    let by = Eight(1.0 / total.above, 1.0 / total.below);
    let d = column + lane * 4u;
    store_pair(tile, query, d, out0.left, by);
    if COLUMNS > 32u { store_pair(tile, query, d + 32u, out0.right, by); }
    if COLUMNS > 64u { store_pair(tile, query, d + 64u, out1.left, by); }
    if COLUMNS > 96u { store_pair(tile, query, d + 96u, out1.right, by); }
}
