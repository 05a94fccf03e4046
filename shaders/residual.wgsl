// x[b, n] += weight[b, n]·gate[b]·branch[b, index[b, n]], element by element.

struct Params {
    base: u32,        // the first workgroup of this portion
    count: u32,       // elements of x
    stream: u32,      // N, rows of x per sample
    compact: u32,     // k, rows of branch per sample
    channels: u32,    // C
    emb_stride: u32,  // from one sample of emb to the next; 0 where all share one
    emb_start: u32,   // where the gate begins in a sample of emb …
    table_start: u32, // … and in table
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;   // [B, N, C]
@group(0) @binding(2) var<storage, read> branch: array<f32>;    // [B, k, C]
@group(0) @binding(3) var<storage, read> index: array<u32>;     // [B, N]
@group(0) @binding(4) var<storage, read> weight: array<f32>;    // [B, N]
@group(0) @binding(5) var<storage, read> emb: array<f32>;       // [1 or B, M·C or C]
@group(0) @binding(6) var<storage, read> table: array<f32>;     // [M, C]

override MAPPED: bool = false;    // rows are written through index …
override WEIGHTED: bool = false;  // … times weight
override GATED: bool = false;     // by emb …
override TABLED: bool = false;    // … plus table

const NOTHING = 0xffffffffu;  // in index: this row receives nothing

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (params.base + workgroup.x + workgroup.y * grid.x) * 256u + thread;
    if i >= params.count {
        return;
    }
    let row = i / params.channels;
    let c = i % params.channels;
    let sample = row / params.stream;

    var from_row = row;
    if MAPPED {
        if index[row] == NOTHING {
            return;
        }
        from_row = sample * params.compact + index[row];
    }
    var y = branch[from_row * params.channels + c];
    if GATED {
        var gate = emb[sample * params.emb_stride + params.emb_start + c];
        if TABLED {
            gate += table[params.table_start + c];
        }
        y *= gate;
    }
    if WEIGHTED {
        y *= weight[row];
    }
    x[i] += y;
}
