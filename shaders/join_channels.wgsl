// Latents with further channels behind their own: what a model sees that is told more than the noisy sample. The
// latents are scaled for the model, the further channels are shown as they are, the same to all pictures.

struct Params {
    count: u32,   // elements of out
    own: u32,     // C·H·W
    more: u32,    // E·H·W
    factor: u32,  // which element of row multiplies the latents
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> latents: array<f32>;    // [L, C, H, W]
@group(0) @binding(2) var<storage, read> more: array<f32>;       // [1, E, H, W]
@group(0) @binding(3) var<storage, read> row: array<f32>;        // [16], the scheduler's step
@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [L, C + E, H, W]

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
    let image = params.own + params.more;
    let within = i % image;
    if within < params.own {
        out[i] = row[params.factor] * latents[i / image * params.own + within];
    } else {
        out[i] = more[within - params.own];
    }
}
