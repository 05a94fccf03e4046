// Which token of each cell the others can join: its position in the cell, row by row.

struct Params {
    count: u32,         // B·cells
    cells: u32,         // of a sample
    cells_across: u32,
    rows: u32,          // N, tokens of a sample
    columns: u32,       // w, tokens across
    down: u32,          // sy, tokens of a cell down …
    across: u32,        // … and sx, across
    step_at: u32,       // where in step the timestep is
    seed: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<f32>;            // the scheduler's step [16]
@group(0) @binding(2) var<storage, read> ages: array<f32>;            // [B, N]
@group(0) @binding(3) var<storage, read_write> position: array<u32>;  // [B, cells]

override RANDOM: bool = false;
override OLDEST: bool = false;  // neither: the first

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
    let cell = i % params.cells;
    var picked = 0u;
    if RANDOM {
        let time = bitcast<u32>(step[params.step_at]);
        picked = scramble(cell + scramble(time + scramble(params.seed))) % (params.down * params.across);
    }
    if OLDEST {
        let down = cell / params.cells_across * params.down;
        let across = cell % params.cells_across * params.across;
        let corner = i / params.cells * params.rows + down * params.columns + across;
        var oldest = ages[corner];
        for (var other = 1u; other < params.down * params.across; other++) {
            let age = ages[corner + other / params.across * params.columns + other % params.across];
            if age > oldest {
                oldest = age;
                picked = other;
            }
        }
    }
    position[i] = picked;
}

// A step of the PCG generator (RXS-M-XS-32: O'Neill 2014; as a hash: Jarzynski and Olano, JCGT 9.3, 2020).
fn scramble(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}
