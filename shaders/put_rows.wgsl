// into[b, n] = columns offset … offset + width of from[b, index[b, n]]; rows whose index says nothing stay as they are.

struct Params {
    count: u32,    // elements of into
    rows: u32,     // N, rows of into per sample
    compact: u32,  // k, rows of from per sample
    width: u32,    // columns of into
    stride: u32,   // columns of from
    offset: u32,   // the first of them that is read
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> from_rows: array<f32>;   // [B, k, stride]
@group(0) @binding(2) var<storage, read> index: array<u32>;       // [B, N]
@group(0) @binding(3) var<storage, read_write> into: array<f32>;  // [B, N, width]

override MAPPED: bool = false;  // rows are put through index, else row for row

const NOTHING = 0xffffffffu;  // in index: this row stays

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
    let row = i / params.width;
    var source = row;
    if MAPPED {
        if index[row] == NOTHING {
            return;
        }
        source = row / params.rows * params.compact + index[row];
    }
    into[i] = from_rows[source * params.stride + params.offset + i % params.width];
}
