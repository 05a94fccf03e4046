// How often each token was merged since it was last computed by itself, and their sum. One workgroup per sample.

struct Params {
    batch: u32,  // B
    rows: u32,   // N
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> ages: array<f32>;   // [B, N]
@group(0) @binding(2) var<storage, read_write> total: array<f32>;  // [B]
@group(0) @binding(3) var<storage, read> merged: array<f32>;       // [B, N]: 1 or 0

override MERGED: bool = false;  // false: nobody is of any age
override THREADS: u32 = 256u;   // a power of two, at most 256

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let sample = workgroup.x + workgroup.y * grid.x;
    if sample >= params.batch {
        return;
    }
    var sum = 0.0;
    for (var token = thread; token < params.rows; token += THREADS) {
        let at = sample * params.rows + token;
        var age = 0.0;
        if MERGED {
            age = merged[at] * (ages[at] + 1.0);
        }
        ages[at] = age;
        sum += age;
    }
    partial[thread] = sum;
    workgroupBarrier();
    for (var stride = THREADS / 2u; stride > 0u; stride /= 2u) {
        if thread < stride {
            partial[thread] += partial[thread + stride];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        total[sample] = partial[0];
    }
}
