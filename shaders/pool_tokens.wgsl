// Tokens of a grid, pooled over squares of stride × stride of them, channel by channel: out[b, cell, c] is the square's
// first token, or its mean, or bias[c] + Σ over its tokens of weight[c, dy, dx] · token. What is left over at the right
// and at the bottom of a grid that does not divide is in no square.

struct Params {
    count: u32,     // elements of out
    channels: u32,  // C
    down: u32,      // squares down
    across: u32,    // and across
    tokens: u32,    // N, rows of x per sample
    columns: u32,   // of the grid
    stride: u32,    // R
    width: u32,     // M, elements of a row of x
    offset: u32,    // the first channel's element
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [B, N, M]
@group(0) @binding(2) var<storage, read> weight: array<f32>;     // [C, 1, R, R]
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [C]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [B, down·across, C]

override WHOLE: bool = true;      // every token of a square counts; false: its first one alone
override WEIGHTED: bool = false;  // by weight; false: all alike
override BIASED: bool = false;

// Neighbouring threads take neighbouring channels, so every load and the store are coalesced.
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
    let stride = params.stride;
    let channel = i % params.channels;
    let cell = i / params.channels % (params.down * params.across);
    let sample = i / params.channels / (params.down * params.across);
    let token = cell / params.across * stride * params.columns + cell % params.across * stride;
    let first = (sample * params.tokens + token) * params.width + params.offset + channel;
    if !WHOLE {
        out[i] = x[first];
        return;
    }

    var sum = 0.0;
    for (var dy = 0u; dy < stride; dy++) {
        for (var dx = 0u; dx < stride; dx++) {
            let value = x[first + (dy * params.columns + dx) * params.width];
            if WEIGHTED {
                sum += weight[(channel * stride + dy) * stride + dx] * value;
            } else {
                sum += value;
            }
        }
    }
    if !WEIGHTED {
        sum /= f32(stride * stride);
    }
    if BIASED {
        sum += bias[channel];
    }
    out[i] = sum;
}
