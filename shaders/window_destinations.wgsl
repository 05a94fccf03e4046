// The tokens of each 2×2 window that is kept go to the picked one of them; the others stay alone.

struct Params {
    count: u32,    // B·N
    columns: u32,  // w, tokens across
    rows: u32,     // N, tokens of a sample
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> place: array<u32>;         // [B, N/4]: NOTHING where a window is not kept
@group(0) @binding(2) var<storage, read> position: array<u32>;      // [B, N/4]: 0 1 / 2 3
@group(0) @binding(3) var<storage, read_write> destination: array<u32>;      // [B, N]
@group(0) @binding(4) var<storage, read_write> merged: array<f32>;  // [B, N]

const NOTHING = 0xffffffffu;

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
    let token = i % params.rows;
    let down = token / params.columns / 2u;
    let across = token % params.columns / 2u;
    let window = i / params.rows * (params.rows / 4u) + down * (params.columns / 2u) + across;

    let kept = place[window] != NOTHING;
    let picked = (2u * down + position[window] / 2u) * params.columns + 2u * across + position[window] % 2u;
    destination[i] = select(token, picked, kept);
    merged[i] = f32(kept);
}
