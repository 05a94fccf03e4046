// y = act(x · Wᵀ + bias): what it reads and writes is in shared/product.wgsl.
//
// Three ways through the same 4×4 blocks: `tiled` stages them in workgroup memory, for hardware; `direct` holds larger
// tiles in registers and reads storage, for software adapters; `few` splits k over threads, for four rows or fewer.

// ---- Hardware: a tile of results a workgroup, one, two or four blocks of it a thread

override ROWS: u32 = 64u;           // of y in a tile
override COLUMNS: u32 = 64u;
override K_STEP: u32 = 16u;         // steps of k that are staged at a time
override BLOCKS_DOWN: u32 = 2u;     // a thread's: 1, or 2 that lie half a tile apart
override BLOCKS_ACROSS: u32 = 2u;

override THREADS: u32 = (ROWS / 4u / BLOCKS_DOWN) * (COLUMNS / 4u / BLOCKS_ACROSS);
override X_GROUPS: u32 = ROWS / 4u;          // four rows each
override WEIGHT_GROUPS: u32 = COLUMNS / 4u;  // four columns each
override X_BLOCKS: u32 = X_GROUPS * K_STEP / 4u;   // to stage: at most THREADS
override WEIGHT_BLOCKS: u32 = WEIGHT_GROUPS * K_STEP / 4u;
override X_SIZE: u32 = K_STEP * X_GROUPS;
override WEIGHT_SIZE: u32 = K_STEP * WEIGHT_GROUPS;

var<workgroup> x_tile: array<vec4f, X_SIZE>;           // [K_STEP, X_GROUPS]: four rows together
var<workgroup> weight_tile: array<vec4f, WEIGHT_SIZE>; // [K_STEP, WEIGHT_GROUPS]: four columns together

/// What a thread has summed: blocks above and below, left and right.
struct Sums { above_left: mat4x4f, above_right: mat4x4f, below_left: mat4x4f, below_right: mat4x4f }

/// Adds one step of k: the numbers at these places of the tiles, and half a tile further.
fn add_step(sums: ptr<function, Sums>, x_at: u32, weight_at: u32) {
    let above = x_tile[x_at];
    let left = weight_tile[weight_at];
    (*sums).above_left = outer((*sums).above_left, above, left);
    if BLOCKS_DOWN == 2u {
        let below = x_tile[x_at + X_GROUPS / 2u];
        (*sums).below_left = outer((*sums).below_left, below, left);
    }
    if BLOCKS_ACROSS == 2u {
        let right = weight_tile[weight_at + WEIGHT_GROUPS / 2u];
        (*sums).above_right = outer((*sums).above_right, above, right);
        if BLOCKS_DOWN == 2u {
            let below = x_tile[x_at + X_GROUPS / 2u];
            (*sums).below_right = outer((*sums).below_right, below, right);
        }
    }
}

@compute @workgroup_size(THREADS)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = params.base + workgroup.x + workgroup.y * grid.x;
    let tiles_across = (params.columns + COLUMNS - 1u) / COLUMNS;
    let tiles = (params.rows + ROWS - 1u) / ROWS * tiles_across;
    let slice = index / tiles;
    let tile = index % tiles;
    if slice >= params.slices {
        return;
    }
    let row = tile / tiles_across * ROWS;
    let column = tile % tiles_across * COLUMNS;
    // A thread stages a block of x and one of W, as far as there are any. Neighbours stage neighbouring rows, which lie on
    // different banks.
    let x_group = thread % X_GROUPS;
    let x_k = thread / X_GROUPS * 4u;
    let weight_group = thread % WEIGHT_GROUPS;
    let weight_k = thread / WEIGHT_GROUPS * 4u;
    let starts = row_starts(row + 4u * x_group);
    let weight_row = column + 4u * weight_group;
    let across = thread % (WEIGHT_GROUPS / BLOCKS_ACROSS);
    let down = thread / (WEIGHT_GROUPS / BLOCKS_ACROSS);

    var sums: Sums;
    let end = min(params.k, (slice + 1u) * params.slice_k);
    for (var k = slice * params.slice_k; k < end; k += K_STEP) {
        var xs: mat4x4f;
        var weights: mat4x4f;
        if X_BLOCKS == THREADS || x_k < K_STEP {
            xs = transpose(x_block(starts, k + x_k));
        }
        if WEIGHT_BLOCKS == THREADS || weight_k < K_STEP {
            weights = transpose(weight_block(weight_row, k + weight_k));
        }
        workgroupBarrier();
        if X_BLOCKS == THREADS || x_k < K_STEP {
            for (var i = 0u; i < 4u; i++) {
                x_tile[(x_k + i) * X_GROUPS + x_group] = xs[i];
            }
        }
        if WEIGHT_BLOCKS == THREADS || weight_k < K_STEP {
            for (var i = 0u; i < 4u; i++) {
                weight_tile[(weight_k + i) * WEIGHT_GROUPS + weight_group] = weights[i];
            }
        }
        workgroupBarrier();
        // Four steps a round, for the loop's own instructions; its counter is the same for all threads.
        var x_at = down;
        var weight_at = across;
        for (var step = 0u; step < K_STEP; step += 4u) {
            add_step(&sums, x_at, weight_at);
            add_step(&sums, x_at + X_GROUPS, weight_at + WEIGHT_GROUPS);
            add_step(&sums, x_at + 2u * X_GROUPS, weight_at + 2u * WEIGHT_GROUPS);
            add_step(&sums, x_at + 3u * X_GROUPS, weight_at + 3u * WEIGHT_GROUPS);
            x_at += 4u * X_GROUPS;
            weight_at += 4u * WEIGHT_GROUPS;
        }
    }
    let top = row + 4u * down;
    let left = column + 4u * across;
    store_block(slice, top, left, sums.above_left);
    if BLOCKS_ACROSS == 2u {
        store_block(slice, top, left + COLUMNS / 2u, sums.above_right);
    }
    if BLOCKS_DOWN == 2u {
        store_block(slice, top + ROWS / 2u, left, sums.below_left);
        if BLOCKS_ACROSS == 2u {
            store_block(slice, top + ROWS / 2u, left + COLUMNS / 2u, sums.below_right);
        }
    }
}

// ---- Software: 16×8 results a thread, straight from storage

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
        let weights = weight_blocks(column, k);
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
    store(0u, row, column + across, sum);
}
