// Tokens, in raster order of patches, to an image; a token's features in order (py, px, c).

struct Params {
    count: u32,     // elements of out
    channels: u32,  // Cout
    height: u32,    // h·p
    width: u32,     // w·p
    side: u32,      // p
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<f32>;      // [B, h·w, p·p·Cout]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;   // [B, Cout, h·p, w·p]

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
    let side = params.side;
    let x = i % params.width;
    let y = i / params.width % params.height;
    let channel = i / params.width / params.height % params.channels;
    let sample = i / params.width / params.height / params.channels;

    let across = params.width / side;
    let token = (sample * (params.height / side) + y / side) * across + x / side;
    out[i] = tokens[((token * side + y % side) * side + x % side) * params.channels + channel];
}
