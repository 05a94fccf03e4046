// out[i] = a[i] ∘ b[i mod period], ∘ one of + and ×.

struct Params {
    base: u32,    // the first workgroup of this portion
    count: u32,   // elements of a and out
    period: u32,  // elements of b, which repeats
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

override MULTIPLY: bool = false;

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
    let x = a[i];
    let y = b[i % params.period];
    out[i] = select(x + y, x * y, MULTIPLY);
}
