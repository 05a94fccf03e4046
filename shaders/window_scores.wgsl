// How alike the four tokens of each 2×2 window are: the mean of their 16 cosine similarities, self-pairs included, plus
// what their age counts. LANES threads share a window, and read its channels once.

struct Params {
    windows: u32,   // B·N/4
    across: u32,    // w/2, windows across
    sample: u32,    // N/4, windows of a sample
    channels: u32,  // C
    weight: f32,    // of the age
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<f32>;        // [B, N, C]
@group(0) @binding(2) var<storage, read> ages: array<f32>;          // [B, N]
@group(0) @binding(3) var<storage, read> total: array<f32>;         // [B]: the sum of ages
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;  // [B, N/4]

override AGED: bool = false;   // ages count
override THREADS: u32 = 256u;  // in a workgroup, at most 256
override LANES: u32 = 32u;     // of them on one window; a power of two

const EPS = 1e-8;      // the least that a norm counts as
const AGE_EPS = 1e-6;

// Of the tokens 0 1 / 2 3.
struct Products {
    squares: vec4f,  // 0·0, 1·1, 2·2, 3·3
    ahead: vec3f,    // 0·1, 0·2, 0·3
    behind: vec3f,   // 1·2, 1·3, 2·3
}

var<workgroup> partial: array<Products, 256>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup.x + workgroup.y * grid.x) * (THREADS / LANES);
    // Threads beyond the last window go along to the barriers with the last window, and write nothing.
    let live = first + thread / LANES < params.windows;
    let window = min(first + thread / LANES, params.windows - 1u);
    let lane = thread % LANES;

    // Windows across all samples lie as in one tall picture, for a sample has whole rows of them.
    let columns = 2u * params.across;
    let corner = window / params.across * 2u * columns + window % params.across * 2u;
    let token = vec4u(corner, corner + 1u, corner + columns, corner + columns + 1u);
    let start = token * params.channels;

    var sums = Products();
    for (var c = lane; c < params.channels; c += LANES) {
        let x = vec4f(tokens[start.x + c], tokens[start.y + c], tokens[start.z + c], tokens[start.w + c]);
        sums.squares += x * x;
        sums.ahead += x.x * x.yzw;
        sums.behind += x.yyz * x.zww;
    }
    sums = sum(sums, thread);
    if !live || lane != 0u {
        return;
    }
    let scale = vec4f(1.0) / max(sqrt(sums.squares), vec4f(EPS));
    let own = dot(sums.squares * scale, scale);
    let ahead = dot(sums.ahead, scale.x * scale.yzw);
    let behind = dot(sums.behind, scale.yyz * scale.zww);
    var score = (own + 2.0 * (ahead + behind)) / 16.0;
    if AGED {
        let mean = (ages[token.x] + ages[token.y] + ages[token.z] + ages[token.w]) / 4.0;
        let all = total[window / params.sample] / f32(4u * params.sample);
        score += params.weight * (mean / (all + AGE_EPS));
    }
    scores[window] = score;
}

// The sums over the threads of a window.
fn sum(value: Products, thread: u32) -> Products {
    if LANES == 1u {
        return value;
    }
    partial[thread] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if thread % LANES < stride {
            let other = partial[thread + stride];
            partial[thread].squares += other.squares;
            partial[thread].ahead += other.ahead;
            partial[thread].behind += other.behind;
        }
        workgroupBarrier();
    }
    return partial[thread - thread % LANES];
}
