// out[i] = act(x[i]), with act as in shared/activations.wgsl.

struct Params {
    base: u32, // the first workgroup of this portion
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (params.base + workgroup.x + workgroup.y * grid.x) * 256u + thread;
    if i >= params.count {
        return;
    }
    out[i] = activate(x[i]);
}
