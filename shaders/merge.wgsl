// out[b, j] = the mean of x[b, n] over the tokens n of group j, element by element, summed in the group's order.

struct Params {
    count: u32,     // elements of out
    rows: u32,      // N, rows of x per sample
    kept: u32,      // k, rows of out per sample
    channels: u32,  // C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [B, N, C]
@group(0) @binding(2) var<storage, read> first: array<u32>;      // [B, k]: a group's first token, or NOTHING
@group(0) @binding(3) var<storage, read> next: array<u32>;       // [B, N]: the group's next token, or NOTHING
@group(0) @binding(4) var<storage, read_write> out: array<f32>;  // [B, k, C]

const NOTHING = 0xffffffffu;

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
    let c = i % params.channels;
    let compact = i / params.channels;
    let sample = compact / params.kept * params.rows;

    let alone = first[compact];
    if alone == NOTHING {
        out[i] = 0.0;
        return;
    }
    var sum = x[(sample + alone) * params.channels + c];
    var members = 1u;
    // Four at a time: their numbers are on the way together, where one after the other each would be waited for. A
    // plain stretch of sky may well be one group of hundreds.
    var token = next[sample + alone];
    while token != NOTHING {
        let second = after(sample, token);
        let third = after(sample, second);
        let fourth = after(sample, third);
        let tokens = vec4u(token, second, third, fourth);
        let present = tokens != vec4u(NOTHING);
        let at = (sample + select(vec4u(token), tokens, present)) * params.channels + c;
        let numbers = select(vec4f(0.0), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), present);
        sum = (((sum + numbers.x) + numbers.y) + numbers.z) + numbers.w;
        members += dot(vec4u(present), vec4u(1u));
        token = after(sample, fourth);
    }
    // Not every adapter's division by 1 is exact.
    out[i] = select(sum / f32(members), sum, members == 1u);
}

// The token after this one; after the end there is NOTHING.
fn after(sample: u32, token: u32) -> u32 {
    if token == NOTHING {
        return NOTHING;
    }
    return next[sample + token];
}
