// `tiled` of linear.wgsl for hardware with matrix units: x and W are staged in workgroup memory as f16, and matrices of
// them are multiplied and summed as f32 over all of k. A matrix's size is in its type's name, so linear_matrix_8.wgsl and
// linear_matrix_16.wgsl are modules of their own, with what depends on it: `Sums`, `accumulate`, `put_quarter`, `place`.
//
// A matrix lies in the registers of a whole subgroup. So it is a subgroup that computes a block of 32×32 results, and
// whether it does is the same for all its lanes. How many lanes a subgroup has is the device's choice, and with it how
// many subgroups a workgroup has. The host gives as many threads as make a subgroup a block, as far as it knows. If there
// are fewer subgroups, they compute as many blocks at a time, each time with all of k. If there are more, the others help
// to stage and to store.
//
// No number of a matrix can be reached by itself. So the sums go through workgroup memory, a quarter of each block at a
// time, and threads store them from there with all that follows.

override ROWS: u32 = 64u;           // of y in a tile: a multiple of 32
override COLUMNS: u32 = 64u;
override K_STEP: u32 = 32u;         // steps of k that are staged at a time: a multiple of 16
override THREADS: u32 = 128u;

override BLOCKS_ACROSS: u32 = COLUMNS / 32u;
override BLOCKS: u32 = ROWS / 32u * BLOCKS_ACROSS;
// From row to row of a tile. Eight more than there are, so that rows which are loaded together lie on different banks.
// Rows of a matrix begin at multiples of 16 bytes, as Vulkan demands.
override STRIDE: u32 = K_STEP + 8u;
override X_SIZE: u32 = ROWS * STRIDE;
override WEIGHT_SIZE: u32 = COLUMNS * STRIDE;
override QUARTERS: u32 = BLOCKS * 256u;

var<workgroup> x_tile: array<f16, X_SIZE>;           // [ROWS, STRIDE]
var<workgroup> weight_tile: array<f16, WEIGHT_SIZE>; // [COLUMNS, STRIDE]: W as it is stored, which is Wᵀ by columns
var<workgroup> results: array<f32, QUARTERS>;        // [BLOCKS, 256]
var<workgroup> starts: array<u32, ROWS>;             // where the tile's rows begin in x

// ---- Staging: eight steps of k of a row at a time, so that neighbours read what lies side by side

fn stage_x(at: u32, numbers: vec4f) {
    let halves = vec4<f16>(numbers);
    x_tile[at] = halves.x;
    x_tile[at + 1u] = halves.y;
    x_tile[at + 2u] = halves.z;
    x_tile[at + 3u] = halves.w;
}

fn stage_weights(at: u32, numbers: vec4f) {
    let halves = vec4<f16>(numbers);
    weight_tile[at] = halves.x;
    weight_tile[at + 1u] = halves.y;
    weight_tile[at + 2u] = halves.z;
    weight_tile[at + 3u] = halves.w;
}

/// A thread's share of the steps from `k` on, of the tile whose first column is `column`.
fn stage(thread: u32, column: u32, k: u32) {
    let eights = K_STEP / 8u;
    for (var i = thread; i < ROWS * eights; i += THREADS) {
        let row = i / eights;
        let step = i % eights * 8u;
        stage_x(row * STRIDE + step, x_numbers(starts[row], k + step));
        stage_x(row * STRIDE + step + 4u, x_numbers(starts[row], k + step + 4u));
    }
    for (var i = thread; i < COLUMNS * eights; i += THREADS) {
        let row = i / eights;
        let step = i % eights * 8u;
        let weights = eight_weights(column + row, k + step);
        stage_weights(row * STRIDE + step, weights.low);
        stage_weights(row * STRIDE + step + 4u, weights.high);
    }
}

// ---- Products

@compute @workgroup_size(THREADS)
fn units(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
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
    for (var i = thread; i < ROWS; i += THREADS) {
        starts[i] = row_start(row + i);
    }
    let end = min(params.k, (slice + 1u) * params.slice_k);
    for (var first = 0u; first < BLOCKS; first += subgroups) {
        let blocks = min(subgroups, BLOCKS - first);
        let block = first + subgroup;
        let x_at = block / BLOCKS_ACROSS * 32u * STRIDE;
        let weight_at = block % BLOCKS_ACROSS * 32u * STRIDE;
        var sums = Sums();
        for (var k = slice * params.slice_k; k < end; k += K_STEP) {
            workgroupBarrier();
            stage(thread, column, k);
            workgroupBarrier();
            if subgroup < blocks {
                for (var step = 0u; step < K_STEP; step += SIDE) {
                    sums = accumulate(sums, x_at + step, weight_at + step);
                }
            }
        }
        for (var quarter = 0u; quarter < 4u; quarter++) {
            workgroupBarrier();
            if subgroup < blocks {
                put_quarter(sums, quarter, subgroup * 256u);
            }
            workgroupBarrier();
            for (var i = thread; i < blocks * 256u; i += THREADS) {
                let number = first + i / 256u;
                let at = vec2u(number / BLOCKS_ACROSS, number % BLOCKS_ACROSS) * 32u + place(quarter, i % 256u);
                store(slice, row + at.x, column + at.y, results[i]);
            }
        }
    }
}
