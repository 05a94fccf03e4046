// The functions of one number that follow a matrix product, or stand alone.

override ACTIVATION: u32 = 0u;   // 0 none, 1 silu, 2 gelu (tanh), 3 gelu (erf), 4 relu

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
