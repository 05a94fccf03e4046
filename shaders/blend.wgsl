// latents[i] = (1 − m)·(row[image]·known + row[noise]·z) + m·latents[i]: where the mask is 0 the sample becomes the
// known picture, noised to the level that the step led to. All pictures share the mask, and one known picture where
// there is one.

struct Params {
    count: u32,  // elements of latents
    known: u32,  // elements of known
    plane: u32,  // H·W
    image: u32,  // which elements of row multiply known
    noise: u32,  // and z
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> latents: array<f32>;  // [L, C, H, W]
@group(0) @binding(2) var<storage, read> known: array<f32>;          // [1 or L, C, H, W]
@group(0) @binding(3) var<storage, read> z: array<f32>;              // [L, C, H, W]
@group(0) @binding(4) var<storage, read> mask: array<f32>;           // [1, 1, H, W]
@group(0) @binding(5) var<storage, read> row: array<f32>;            // [16], the scheduler's step

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
    let m = mask[i % params.plane];
    let noised = row[params.image] * known[i % params.known] + row[params.noise] * z[i];
    latents[i] = (1.0 - m) * noised + m * latents[i];
}
