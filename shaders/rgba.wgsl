// A picture of planes in 0…1 as 8-bit RGBA rows, ready to be copied into a texture.

struct Params {
    height: u32,
    width: u32,
    stride: u32,  // pixels from row to row: a texture copy wants rows of whole 256 bytes
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> picture: array<f32>;       // [3, height, width]
@group(0) @binding(2) var<storage, read_write> pixels: array<u32>;  // [height, stride], red in the lowest byte

fn level(plane: u32, at: u32) -> u32 {
    let value = picture[plane * params.height * params.width + at];
    return u32(round(clamp(value, 0.0, 1.0) * 255.0));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (workgroup.x + workgroup.y * grid.x) * 256u + thread;
    if i >= params.height * params.stride {
        return;
    }
    let x = i % params.stride;
    if x >= params.width {
        pixels[i] = 0u;
        return;
    }
    let at = (i / params.stride) * params.width + x;
    pixels[i] = level(0u, at) | (level(1u, at) << 8u) | (level(2u, at) << 16u) | 0xff000000u;
}
