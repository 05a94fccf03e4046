// Reads each number once and writes it once.

struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> from_: array<vec4f>;      // [count]
@group(0) @binding(2) var<storage, read_write> to: array<vec4f>;   // [count]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * grid.x) * 64u + lane;
    if i < params.count {
        to[i] = from_[i];
    }
}
