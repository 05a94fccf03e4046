// The router's logits and scores: one dot product per row of the stream. LANES threads share a row.

struct Params {
    rows: u32,      // B·N, rows of x
    channels: u32,  // C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [B, N, C]
@group(0) @binding(2) var<storage, read> weight: array<f32>;        // [1, C]
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;  // [B, N]
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;  // [B, N]

override THREADS: u32 = 256u;  // in a workgroup, at most 256
override LANES: u32 = 32u;     // of them on one row; a power of two

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup.x + workgroup.y * grid.x) * (THREADS / LANES);
    // Threads beyond the last row go along to the barriers with the last row, and write nothing.
    let live = first + thread / LANES < params.rows;
    let row = min(first + thread / LANES, params.rows - 1u);
    let lane = thread % LANES;

    var logit = 0.0;
    for (var c = lane; c < params.channels; c += LANES) {
        logit += x[row * params.channels + c] * weight[c];
    }
    logit = total(logit, thread);
    if live && lane == 0u {
        logits[row] = logit;
        scores[row] = sigmoid(logit);
    }
}

// exp of a negative number only, which cannot overflow.
fn sigmoid(logit: f32) -> f32 {
    let e = exp(-abs(logit));
    return select(e, 1.0, logit >= 0.0) / (1.0 + e);
}

// The sum of value over the threads of a row.
fn total(value: f32, thread: u32) -> f32 {
    if LANES == 1u {
        return value;
    }
    partial[thread] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if thread % LANES < stride {
            partial[thread] += partial[thread + stride];
        }
        workgroupBarrier();
    }
    return partial[thread - thread % LANES];
}
