// The sources that were selected join the destination that each is most like; all other tokens stay their own. One
// thread per entry of the two lists, in which every token is once.

struct Params {
    count: u32,         // B·N
    tokens: u32,        // N
    sources: u32,       // Ns
    destinations: u32,  // Nd
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sources: array<u32>;       // [B, Ns, 1] tokens
@group(0) @binding(2) var<storage, read> destinations: array<u32>;  // [B, Nd, 1] tokens
@group(0) @binding(3) var<storage, read> best: array<u32>;          // [B, Ns] indices into destinations
@group(0) @binding(4) var<storage, read> place: array<u32>;         // [B, Ns], NOTHING where a source was not selected
@group(0) @binding(5) var<storage, read_write> into: array<u32>;    // [B, N] the token that each is computed with
@group(0) @binding(6) var<storage, read_write> merged: array<f32>;  // [B, N]

override SELECTED: bool = false;  // by place; false: none is

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
    let sample = i / params.tokens;
    let entry = i % params.tokens;
    let first = sample * params.tokens;
    if entry >= params.sources {
        let token = destinations[sample * params.destinations + entry - params.sources];
        into[first + token] = token;
        merged[first + token] = 1.0;
        return;
    }
    let source = sample * params.sources + entry;
    let token = sources[source];
    var joined = token;
    var shared_row = 0.0;
    if SELECTED {
        if place[source] != NOTHING {
            joined = destinations[sample * params.destinations + best[source]];
            shared_row = 1.0;
        }
    }
    into[first + token] = joined;
    merged[first + token] = shared_row;
}
