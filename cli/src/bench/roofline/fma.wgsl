// Eight sums that do not wait for each other, each of four numbers: nothing but multiply-adds.

struct Params { rounds: u32, threads: u32, by: f32, plus: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>; // [threads]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = (workgroup.x + workgroup.y * grid.x) * 64u + lane;
    if thread >= params.threads {
        return;
    }
    let by = vec4f(params.by);
    let plus = vec4f(params.plus);
    var a = vec4f(0.0);
    var b = vec4f(1.0);
    var c = vec4f(2.0);
    var d = vec4f(3.0);
    var e = vec4f(4.0);
    var f = vec4f(5.0);
    var g = vec4f(6.0);
    var h = vec4f(7.0);
    for (var round = 0u; round < params.rounds; round++) {
        a = fma(a, by, plus);
        b = fma(b, by, plus);
        c = fma(c, by, plus);
        d = fma(d, by, plus);
        e = fma(e, by, plus);
        f = fma(f, by, plus);
        g = fma(g, by, plus);
        h = fma(h, by, plus);
    }
    let all = a + b + c + d + e + f + g + h;
    sums[thread] = all.x + all.y + all.z + all.w;
}
