// From destinations to compact rows. `rank` counts the tokens that are their own destination, in ascending order: each
// begins a compact row. `link` strings the tokens of a group together, and tells each which row is its own.

struct Params {
    batch: u32,  // B
    rows: u32,   // N
    kept: u32,   // k
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> destination: array<u32>;  // [B, N]
@group(0) @binding(2) var<storage, read_write> place: array<u32>;  // [B, N]: compact row of each token's destination

@group(0) @binding(3) var<storage, read_write> first: array<u32>;  // [B, k]: the token that a compact row begins with
@group(0) @binding(3) var<storage, read_write> next: array<u32>;   // [B, N]: the group's next token, or NOTHING

override THREADS: u32 = 256u;  // in a workgroup, at most 256
override LANES: u32 = 32u;     // of them that look for one token's next; a power of two

const NOTHING = 0xffffffffu;

var<workgroup> own: array<u32, 256>;    // per thread: tokens of its stretch that are their own destination
var<workgroup> least: array<u32, 256>;  // per thread: the first it has found

// One workgroup per sample, a stretch of tokens per thread. It writes the places of destinations only.
@compute @workgroup_size(THREADS)
fn rank(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let sample = workgroup.x + workgroup.y * grid.x;
    if sample >= params.batch {
        return;
    }
    let stretch = (params.rows + THREADS - 1u) / THREADS;
    let start = min(thread * stretch, params.rows);
    let end = min(start + stretch, params.rows);
    var count = 0u;
    for (var token = start; token < end; token++) {
        count += u32(destination[sample * params.rows + token] == token);
    }
    own[thread] = count;
    workgroupBarrier();
    var compact = 0u;
    var total = 0u;
    for (var other = 0u; other < THREADS; other++) {
        compact += select(0u, own[other], other < thread);
        total += own[other];
    }
    for (var token = start; token < end; token++) {
        if destination[sample * params.rows + token] == token {
            if compact < params.kept {
                first[sample * params.kept + compact] = token;
            }
            place[sample * params.rows + token] = select(NOTHING, compact, compact < params.kept);
            compact++;
        }
    }
    for (var empty = total + thread; empty < params.kept; empty += THREADS) {
        first[sample * params.kept + empty] = NOTHING;
    }
}

// LANES threads per token look through those that may come next: after a destination the first of all others, after
// another token the first behind it.
@compute @workgroup_size(THREADS)
fn link(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let begin = (workgroup.x + workgroup.y * grid.x) * (THREADS / LANES);
    let rows = params.batch * params.rows;
    // Threads beyond the last row go along to the barriers with the last row, and write nothing.
    let live = begin + thread / LANES < rows;
    let row = min(begin + thread / LANES, rows - 1u);
    let sample = row / params.rows * params.rows;
    let token = row - sample;
    let lane = thread % LANES;

    let joined = destination[row];
    var found = NOTHING;
    for (var other = select(token + 1u, 0u, joined == token) + lane; other < params.rows; other += LANES) {
        if destination[sample + other] == joined && other != joined {
            found = other;
            break;
        }
    }
    found = lowest(found, thread);
    if live && lane == 0u {
        next[row] = found;
        if joined != token {
            place[row] = place[sample + joined];
        }
    }
}

// The lowest value of the threads of a token.
fn lowest(value: u32, thread: u32) -> u32 {
    if LANES == 1u {
        return value;
    }
    least[thread] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if thread % LANES < stride {
            least[thread] = min(least[thread], least[thread + stride]);
        }
        workgroupBarrier();
    }
    return least[thread - thread % LANES];
}
