// out[r, j] = sin or cos of values[r]·frequency[j mod half].
//
// WGSL promises sin only within −π … π, and there only to 2⁻¹¹, while a timestep turns the fastest frequency by 999
// radians. So phases are integers, 2³² to the turn: products wrap by themselves and exactly, and a polynomial takes the
// sine. The result is the same on every adapter.

struct Params {
    rows: u32,     // R
    dim: u32,
    half: u32,     // dim / 2
    first: u32,    // which element of values is the first row's
    cosines: u32,  // where the cosines begin: 0 or half; the sines have the other half
}

struct Uniform {
    params: Params,
    frequencies: array<vec4u, 128>,  // phase per unit of time
}

@group(0) @binding(0) var<uniform> uniforms: Uniform;
@group(0) @binding(1) var<storage, read> values: array<f32>;      // [R], or the scheduler's step [16]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;   // [R, dim]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let params = uniforms.params;
    let i = (workgroup.x + workgroup.y * grid.x) * 256u + thread;
    if i >= params.rows * params.dim {
        return;
    }
    let j = i % params.dim;
    if j >= 2u * params.half {
        out[i] = 0.0;  // what an odd dim is padded with
        return;
    }
    let at = j % params.half;
    let frequency = uniforms.frequencies[at / 4u][at % 4u];
    let time = values[params.first + i / params.dim];
    let whole = floor(time);
    var phase = bitcast<u32>(i32(whole)) * frequency + u32((time - whole) * f32(frequency));
    if j - at == params.cosines {
        phase += 0x40000000u;  // a quarter turn
    }
    out[i] = sine(phase);
}

// By its series to x¹¹, which is good to 6e-8 within a quarter turn.
fn sine(phase: u32) -> f32 {
    var turn = bitcast<i32>(phase);
    if turn > 0x40000000 || turn < -0x40000000 {
        turn = bitcast<i32>(0x80000000u - phase);  // sin x = sin(π − x)
    }
    let x = f32(turn) * 1.4629180793e-9;  // 2π / 2³²
    let s = x * x;
    let series = s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0 - s / 39916800.0)));
    return x * (1.0 + s * (-1.0 / 6.0 + series));
}
