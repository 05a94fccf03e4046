// `tiled` of linear.wgsl for hardware with f16: x and W are staged in workgroup memory as f16 and multiplied as f16.
// Sixteen products are summed as f16, the rest as f32. It has a file of its own, since only devices with f16 compile it.

enable f16;

override ROWS: u32 = 64u;           // of y in a tile
override COLUMNS: u32 = 64u;
override K_STEP: u32 = 32u;         // steps of k that are staged at a time: a multiple of 16
override BLOCKS_DOWN: u32 = 2u;     // a thread's blocks of 4×4 results: 1, or 2 side by side
override BLOCKS_ACROSS: u32 = 2u;

override THREADS: u32 = (ROWS / 4u / BLOCKS_DOWN) * (COLUMNS / 4u / BLOCKS_ACROSS);
override X_GROUPS: u32 = ROWS / 4u;          // four rows each
override WEIGHT_GROUPS: u32 = COLUMNS / 4u;  // four columns each
override X_BLOCKS: u32 = X_GROUPS * K_STEP / 8u;   // to stage: at most THREADS
override WEIGHT_BLOCKS: u32 = WEIGHT_GROUPS * K_STEP / 8u;
override X_SIZE: u32 = K_STEP * X_GROUPS;
override WEIGHT_SIZE: u32 = K_STEP * WEIGHT_GROUPS;

var<workgroup> x_tile: array<vec4<f16>, X_SIZE>;           // [K_STEP, X_GROUPS]: four rows together
var<workgroup> weight_tile: array<vec4<f16>, WEIGHT_SIZE>; // [K_STEP, WEIGHT_GROUPS]: four columns together

// ---- Staging: four rows by eight steps of k a thread. Loading, rounding and storing in one go keeps few numbers in
// ---- registers; other workgroups compute meanwhile.

fn rounded(numbers: vec4f) -> vec4<f16> {
    return vec4<f16>(numbers);
}

fn stage_x(at: u32, starts: vec4u, k: u32) {
    let xs = transpose(x_block(starts, k));
    x_tile[at] = rounded(xs[0]);
    x_tile[at + X_GROUPS] = rounded(xs[1]);
    x_tile[at + 2u * X_GROUPS] = rounded(xs[2]);
    x_tile[at + 3u * X_GROUPS] = rounded(xs[3]);
}

fn stage_four_weights(at: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
    let weights = transpose(mat4x4f(a, b, c, d));
    weight_tile[at] = rounded(weights[0]);
    weight_tile[at + WEIGHT_GROUPS] = rounded(weights[1]);
    weight_tile[at + 2u * WEIGHT_GROUPS] = rounded(weights[2]);
    weight_tile[at + 3u * WEIGHT_GROUPS] = rounded(weights[3]);
}

fn stage_weights(at: u32, row: u32, k: u32) {
    let a = eight_weights(row, k);
    let b = eight_weights(row + 1u, k);
    let c = eight_weights(row + 2u, k);
    let d = eight_weights(row + 3u, k);
    stage_four_weights(at, a.low, b.low, c.low, d.low);
    stage_four_weights(at + 4u * WEIGHT_GROUPS, a.high, b.high, c.high, d.high);
}

// ---- Products

/// 4×4 results: four rows of x with four columns.
struct Block { a: vec4<f16>, b: vec4<f16>, c: vec4<f16>, d: vec4<f16> }

/// What a thread has summed: blocks above and below, left and right.
struct Halves { above_left: Block, above_right: Block, below_left: Block, below_right: Block }
struct Sums { above_left: mat4x4f, above_right: mat4x4f, below_left: mat4x4f, below_right: mat4x4f }

fn accumulate(sums: Block, xs: vec4<f16>, weights: vec4<f16>) -> Block {
    return Block(
        fma(vec4<f16>(xs.x), weights, sums.a), fma(vec4<f16>(xs.y), weights, sums.b),
        fma(vec4<f16>(xs.z), weights, sums.c), fma(vec4<f16>(xs.w), weights, sums.d),
    );
}

/// Adds one step of k: the numbers at these places of the tiles, and those beside them.
fn add_step(before: Halves, x_at: u32, weight_at: u32) -> Halves {
    var sums = before;
    let above = x_tile[x_at];
    let left = weight_tile[weight_at];
    sums.above_left = accumulate(sums.above_left, above, left);
    if BLOCKS_DOWN == 2u {
        sums.below_left = accumulate(sums.below_left, x_tile[x_at + 1u], left);
    }
    if BLOCKS_ACROSS == 2u {
        let right = weight_tile[weight_at + 1u];
        sums.above_right = accumulate(sums.above_right, above, right);
        if BLOCKS_DOWN == 2u {
            sums.below_right = accumulate(sums.below_right, x_tile[x_at + 1u], right);
        }
    }
    return sums;
}

fn add_four(before: Halves, x_at: u32, weight_at: u32) -> Halves {
    let one = add_step(before, x_at, weight_at);
    let two = add_step(one, x_at + X_GROUPS, weight_at + WEIGHT_GROUPS);
    let three = add_step(two, x_at + 2u * X_GROUPS, weight_at + 2u * WEIGHT_GROUPS);
    return add_step(three, x_at + 3u * X_GROUPS, weight_at + 3u * WEIGHT_GROUPS);
}

/// Sixteen steps of k, without a loop: drivers copy f16 numbers from round to round.
fn sixteen(x_at: u32, weight_at: u32) -> Halves {
    let one = add_four(Halves(), x_at, weight_at);
    let two = add_four(one, x_at + 4u * X_GROUPS, weight_at + 4u * WEIGHT_GROUPS);
    let three = add_four(two, x_at + 8u * X_GROUPS, weight_at + 8u * WEIGHT_GROUPS);
    return add_four(three, x_at + 12u * X_GROUPS, weight_at + 12u * WEIGHT_GROUPS);
}

fn plus(sums: mat4x4f, more: Block) -> mat4x4f {
    return sums + mat4x4f(vec4f(more.a), vec4f(more.b), vec4f(more.c), vec4f(more.d));
}

@compute @workgroup_size(THREADS)
fn halves(
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
    // Neighbours stage neighbouring rows, which lie on different banks.
    let x_group = thread % X_GROUPS;
    let x_k = thread / X_GROUPS * 8u;
    let weight_group = thread % WEIGHT_GROUPS;
    let weight_k = thread / WEIGHT_GROUPS * 8u;
    let starts = row_starts(row + 4u * x_group);
    let weight_row = column + 4u * weight_group;
    let across = thread % (WEIGHT_GROUPS / BLOCKS_ACROSS) * BLOCKS_ACROSS;
    let down = thread / (WEIGHT_GROUPS / BLOCKS_ACROSS) * BLOCKS_DOWN;

    var sums: Sums;
    let end = min(params.k, (slice + 1u) * params.slice_k);
    for (var k = slice * params.slice_k; k < end; k += K_STEP) {
        workgroupBarrier();
        if X_BLOCKS == THREADS || x_k < K_STEP {
            stage_x(x_k * X_GROUPS + x_group, starts, k + x_k);
            stage_x((x_k + 4u) * X_GROUPS + x_group, starts, k + x_k + 4u);
        }
        if WEIGHT_BLOCKS == THREADS || weight_k < K_STEP {
            stage_weights(weight_k * WEIGHT_GROUPS + weight_group, weight_row, k + weight_k);
        }
        workgroupBarrier();
        for (var step = 0u; step < K_STEP; step += 16u) {
            let more = sixteen(down + step * X_GROUPS, across + step * WEIGHT_GROUPS);
            sums.above_left = plus(sums.above_left, more.above_left);
            if BLOCKS_ACROSS == 2u {
                sums.above_right = plus(sums.above_right, more.above_right);
            }
            if BLOCKS_DOWN == 2u {
                sums.below_left = plus(sums.below_left, more.below_left);
                if BLOCKS_ACROSS == 2u {
                    sums.below_right = plus(sums.below_right, more.below_right);
                }
            }
        }
    }
    let top = row + 4u * down;
    let left = column + 4u * across;
    store_block(slice, top, left, sums.above_left);
    if BLOCKS_ACROSS == 2u {
        store_block(slice, top, left + 4u, sums.above_right);
    }
    if BLOCKS_DOWN == 2u {
        store_block(slice, top + 4u, left, sums.below_left);
        if BLOCKS_ACROSS == 2u {
            store_block(slice, top + 4u, left + 4u, sums.below_right);
        }
    }
}
