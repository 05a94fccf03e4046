// Latents to tokens, in raster order of patches; a token's features in order (c, py, px), as a convolution's weight
// [O, Cin, p, p] has them. Sample b shows latents[b mod L].

struct Params {
    count: u32,     // elements of out
    latents: u32,   // L
    channels: u32,  // Cin
    height: u32,    // H
    width: u32,     // W
    side: u32,      // p
    factor: u32,    // which element of row multiplies
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> latents: array<f32>;     // [L, Cin, H, W]
@group(0) @binding(2) var<storage, read> row: array<f32>;         // [16], the scheduler's step
@group(0) @binding(3) var<storage, read_write> out: array<f32>;   // [B, (H/p)·(W/p), Cin·p·p]

override SCALED: bool = false;  // by row[factor]

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
    let features = params.channels * side * side;
    let across = params.width / side;
    let tokens = params.height / side * across;

    let feature = i % features;
    let token = i / features % tokens;
    let sample = i / features / tokens % params.latents;
    let y = token / across * side + feature / side % side;
    let x = token % across * side + feature % side;
    let channel = sample * params.channels + feature / (side * side);

    var value = latents[(channel * params.height + y) * params.width + x];
    if SCALED {
        value *= row[params.factor];
    }
    out[i] = value;
}
