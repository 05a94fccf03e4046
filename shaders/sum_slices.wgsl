// y = act(Σ over slices of partial + bias): the second pass of a matrix product whose k was shared out over workgroups.
// Slices are added in order, so the result is the same in every run.

struct Params {
    base: u32,   // the first workgroup of this portion
    count: u32,  // M·O
    width: u32,  // O
    slices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partial: array<f32>;      // [slices, M, O]
@group(0) @binding(2) var<storage, read> bias: array<f32>;         // [O]
@group(0) @binding(3) var<storage, read> row_weight: array<f32>;   // [M]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;      // [M, O]

override BIAS: bool = false;
override WEIGHTED: bool = false;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (params.base + workgroup.x + workgroup.y * grid.x) * 64u + thread;
    if i >= params.count {
        return;
    }
    var sum = 0.0;
    for (var slice = 0u; slice < params.slices; slice++) {
        sum += partial[slice * params.count + i];
    }
    if WEIGHTED {
        sum *= row_weight[i / params.width];
    }
    if BIAS {
        sum += bias[i % params.width];
    }
    y[i] = activate(sum);
}
