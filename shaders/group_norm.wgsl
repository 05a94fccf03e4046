// out = (x − mean) / √(variance + eps) · weight[c] + bias[c], with mean and variance over a group of channels of one
// sample, whose elements lie side by side; silu on top where asked for.
//
// `measure` reduces a piece of a group per workgroup, `merge` the pieces of a group, `apply` normalises a piece of a
// channel. Moments merge by Chan's rule, so a group of millions loses no more precision than one of hundreds.

struct Params {
    base: u32,             // the first workgroup of this portion
    group: u32,            // elements of a group
    groups: u32,           // of all samples
    pieces: u32,           // that a group is measured in
    channels: u32,
    group_channels: u32,
    channel: u32,          // elements of a channel
    channel_pieces: u32,   // that a channel is normalised in
    rows: u32,             // channels of all samples
    eps: f32,
}

struct Moments {
    count: f32,
    mean: f32,
    deviation: f32,    // Σ (x − mean)²
}

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> x: array<f32>;                          // [B, C, H, W]
@group(0) @binding(2) var<storage, read_write> measured: array<Moments>;         // [B·groups, pieces]

@group(0) @binding(1) var<storage, read> to_merge: array<Moments>;               // [B·groups, pieces]
@group(0) @binding(2) var<storage, read_write> merged: array<Moments>;           // [B·groups]

@group(0) @binding(2) var<storage, read> moments: array<Moments>;                // [B·groups]
@group(0) @binding(3) var<storage, read> weight: array<f32>;                     // [C]
@group(0) @binding(4) var<storage, read> bias: array<f32>;                       // [C]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;                  // [B, C, H, W]

override SILU: bool = false;

const THREADS = 256u;
const PIECE = 4096u;    // elements that a workgroup normalises

var<workgroup> shared_moments: array<Moments, THREADS>;

fn combine(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let apart = b.mean - a.mean;
    let share = b.count / max(count, 1.0);
    return Moments(count, a.mean + apart * share, a.deviation + b.deviation + apart * apart * a.count * share);
}

// The moments of all threads' elements together.
fn reduce(own: Moments, thread: u32) -> Moments {
    shared_moments[thread] = own;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            shared_moments[thread] = combine(shared_moments[thread], shared_moments[thread + half]);
        }
    }
    workgroupBarrier();
    return shared_moments[0];
}

@compute @workgroup_size(THREADS)
fn measure(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = params.base + workgroup.x + workgroup.y * grid.x;
    if index >= params.groups * params.pieces {
        return;
    }
    let size = (params.group + params.pieces - 1u) / params.pieces;
    let start = index / params.pieces * params.group;
    let begin = start + index % params.pieces * size;
    let end = min(begin + size, start + params.group);

    // Sums are taken about a thread's first element: its distance from their mean is at most √count deviations, so
    // the subtraction below costs few bits, wherever the mean lies.
    var own = Moments();
    if begin + thread < end {
        let origin = x[begin + thread];
        var sum = 0.0;
        var squares = 0.0;
        for (var i = begin + thread; i < end; i += THREADS) {
            let offset = x[i] - origin;
            sum += offset;
            squares += offset * offset;
            own.count += 1.0;
        }
        own.mean = origin + sum / own.count;
        own.deviation = max(squares - sum * sum / own.count, 0.0);
    }
    let all = reduce(own, thread);
    if thread == 0u {
        measured[index] = all;
    }
}

@compute @workgroup_size(THREADS)
fn merge(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = params.base + workgroup.x + workgroup.y * grid.x;
    if index >= params.groups {
        return;
    }
    var own = Moments();
    for (var piece = thread; piece < params.pieces; piece += THREADS) {
        own = combine(own, to_merge[index * params.pieces + piece]);
    }
    let all = reduce(own, thread);
    if thread == 0u {
        merged[index] = all;
    }
}

@compute @workgroup_size(THREADS)
fn apply(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = params.base + workgroup.x + workgroup.y * grid.x;
    let row = index / params.channel_pieces;
    if row >= params.rows {
        return;
    }
    let group = moments[row / params.group_channels];
    let scale = weight[row % params.channels] * inverseSqrt(group.deviation / group.count + params.eps);
    let shift = bias[row % params.channels];

    let start = row * params.channel;
    let begin = start + index % params.channel_pieces * PIECE;
    let end = min(begin + PIECE, start + params.channel);
    for (var i = begin + thread; i < end; i += THREADS) {
        var y = (x[i] - group.mean) * scale + shift;
        if SILU {
            y /= 1.0 + exp(-y);
        }
        out[i] = y;
    }
}
