// Guidance, then the update that every scheduler shares, element by element over the latents:
//   g = the guided model output
//   m = clamp(convert_sample·x + convert_output·g, −clip, clip)
//   x = sample·x + output·g + current·m + previous0·m₁ + previous1·m₂ + noise·z;  m₂ = m₁;  m₁ = m
// An x that is not finite, or beyond all reason, stays as it is: later steps could make a picture of it again, and the end
// of the run would find nothing wrong.

struct Params {
    count: u32,     // elements of x
    image: u32,     // C·H·W
    channels: u32,  // Cm·H·W: with a learned sigma the model puts out more channels than there are latents
    unguided: u32,  // where in model the output without the prompt begins …
    guided: u32,    // … and the one with it
    most: u32,      // the bits of the largest x
}

// A row of the schedule. The fields' places are those of `step_row`.
struct Step {
    timestep: f32,
    input_scale: f32,
    convert_sample: f32,
    convert_output: f32,
    clip: f32,
    sample: f32,
    output: f32,
    current: f32,
    previous0: f32,
    previous1: f32,
    noise: f32,
    guidance: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> model: array<f32>;         // [L or 2L, Cm, H, W]
@group(0) @binding(2) var<storage, read_write> x: array<f32>;       // [L, C, H, W]
@group(0) @binding(3) var<storage, read_write> m1: array<f32>;      // [L, C, H, W]
@group(0) @binding(4) var<storage, read_write> m2: array<f32>;      // [L, C, H, W]
@group(0) @binding(5) var<storage, read> z: array<f32>;             // [L, C, H, W]
@group(0) @binding(6) var<storage, read> row: Step;                 // [16]
@group(0) @binding(7) var<storage, read_write> guided: array<f32>;  // [L, C, H, W], for whoever wants to see it

override GUIDED: bool = false;

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
    let at = i / params.image * params.channels + i % params.image;
    var g = model[params.guided + at];
    if GUIDED {
        let unguided = model[params.unguided + at];
        g = unguided + row.guidance * (g - unguided);
    }
    guided[i] = g;

    let m = clamp(row.convert_sample * x[i] + row.convert_output * g, -row.clip, row.clip);
    let history = row.previous0 * m1[i] + row.previous1 * m2[i];
    let next = row.sample * x[i] + row.output * g + row.current * m + history + row.noise * z[i];
    // By bits: a comparison with NaN may be optimised away.
    if (bitcast<u32>(x[i]) & 0x7fffffffu) <= params.most {
        x[i] = next;
    }
    m2[i] = m1[i];
    m1[i] = m;
}
