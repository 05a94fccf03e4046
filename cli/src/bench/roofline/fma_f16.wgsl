enable f16;

// As fma.wgsl, in half precision: two of them make a register, which some GPUs compute with at once.

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
    let by = vec4h(vec4f(params.by));
    let plus = vec4h(vec4f(params.plus));
    var a = vec4h(0.0h);
    var b = vec4h(1.0h);
    var c = vec4h(2.0h);
    var d = vec4h(3.0h);
    var e = vec4h(4.0h);
    var f = vec4h(5.0h);
    var g = vec4h(6.0h);
    var h = vec4h(7.0h);
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
    let all = vec4f(a) + vec4f(b) + vec4f(c) + vec4f(d) + vec4f(e) + vec4f(f) + vec4f(g) + vec4f(h);
    sums[thread] = all.x + all.y + all.z + all.w;
}
