// out[i] = act(x[i]).

struct Params {
    base: u32, // the first workgroup of this portion
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

override ACTIVATION: u32 = 0u;

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
    out[i] = activate(x[i]);
}

fn activate(x: f32) -> f32 {
    switch ACTIVATION {
        case 1u: {
            return x * sigmoid(x);
        }
        case 2u: {
            // x·(1 + tanh u)/2 is x·sigmoid(2u), with u = √(2/π)·(x + 0.044715·x³): some drivers' tanh overflows.
            return x * sigmoid(1.5957691216 * (x + 0.044715 * x * x * x));
        }
        case 3u: {
            return 0.5 * x * (1.0 + erf(0.7071067812 * x));
        }
        case 4u: {
            return max(x, 0.0);
        }
        default: {
            return x;
        }
    }
}

// Beyond −80 the result no longer matters, and exp must not overflow.
fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-max(x, -80.0)));
}

// Abramowitz and Stegun 7.1.26: absolute error 1.5e-7.
fn erf(x: f32) -> f32 {
    let size = min(abs(x), 6.0);  // where erf is 1
    let t = 1.0 / (1.0 + 0.3275911 * size);
    let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - series * exp(-size * size));
}
