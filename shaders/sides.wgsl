// The two sides of a bipartite matching: each cell's picked token is a destination, all other tokens are sources, both
// in ascending order. One thread per token.

struct Params {
    count: u32,          // B·N
    columns: u32,        // w: tokens of a row of the grid
    tokens: u32,         // N
    stride_down: u32,    // tokens of a cell down …
    stride_across: u32,  // … and across
    cells_down: u32,     // whole cells of the grid down …
    cells_across: u32,   // … and across
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> position: array<u32>;            // [B, cells]: the pick, row-major in its cell
@group(0) @binding(2) var<storage, read_write> sources: array<u32>;       // [B, Ns, 1]
@group(0) @binding(3) var<storage, read_write> destinations: array<u32>;  // [B, Nd, 1]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (workgroup.x + workgroup.y * grid.x) * 256u + thread;
    if i >= params.count {
        return;
    }
    let sample = i / params.tokens;
    let token = i % params.tokens;
    let row = token / params.columns;
    let column = token % params.columns;
    let down = row / params.stride_down;
    let cells = params.cells_down * params.cells_across;
    let first = sample * cells;

    // Every cell further up has its destination before this token; those of its own row of cells are looked at, so no
    // thread waits for another.
    var before = min(down, params.cells_down) * params.cells_across;
    if down < params.cells_down {
        for (var cell = 0u; cell < params.cells_across; cell++) {
            let pick = position[first + down * params.cells_across + cell];
            let pick_row = down * params.stride_down + pick / params.stride_across;
            let pick_column = cell * params.stride_across + pick % params.stride_across;
            if pick_row == row && pick_column == column {
                destinations[first + down * params.cells_across + cell] = token;
                return;
            }
            before += u32(pick_row < row || (pick_row == row && pick_column < column));
        }
    }
    sources[sample * (params.tokens - cells) + token - before] = token;
}
