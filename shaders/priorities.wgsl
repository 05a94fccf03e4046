// What a token has to say for itself: out = attention + weight·age / (mean age + 1e-6), token by token.

struct Params {
    count: u32,   // B·N
    tokens: u32,  // N
    weight: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> attention: array<f32>;  // [B, N]
@group(0) @binding(2) var<storage, read> ages: array<f32>;       // [B, N]
@group(0) @binding(3) var<storage, read> total: array<f32>;      // [B] the sum of a sample's ages
@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [B, N]

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
    let mean = total[i / params.tokens] / f32(params.tokens);
    out[i] = attention[i] + params.weight * ages[i] / (mean + 1e-6);
}
