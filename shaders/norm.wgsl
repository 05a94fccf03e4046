// Normalise and modulate: out = (norm(x̂)·weight + bias)·(1 + scale) + shift, where x̂ is a row of the stream, or the
// weighted sum of W of them. LANES threads share a row of out.

struct Params {
    base: u32,         // the first workgroup of this portion
    rows: u32,         // B·k, rows of out
    compact: u32,      // k, rows of out per sample
    stream: u32,       // N, rows of x per sample
    sources: u32,      // W, rows of x that one row of out is made of
    channels: u32,     // C
    share: f32,        // 1 / W, the weight where none is given
    eps: f32,
    emb_stride: u32,   // from one sample of emb to the next; 0 where all share one
    emb_shift: u32,    // where the chunks begin in a sample of emb …
    emb_scale: u32,
    table_shift: u32,  // … and in table
    table_scale: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [B, N, C]
@group(0) @binding(2) var<storage, read> index: array<u32>;       // [B, k, W]
@group(0) @binding(3) var<storage, read> blend: array<f32>;       // [B, k, W]
@group(0) @binding(4) var<storage, read> weight: array<f32>;      // [C]
@group(0) @binding(5) var<storage, read> bias: array<f32>;        // [C]
@group(0) @binding(6) var<storage, read> emb: array<f32>;         // [1 or B, M·C or C]
@group(0) @binding(7) var<storage, read> table: array<f32>;       // [M, C]
@group(0) @binding(8) var<storage, read_write> out: array<f32>;   // [B, k, C]

override CENTRED: bool = true;     // LayerNorm; false: RMSNorm
override MAPPED: bool = false;     // rows are read through index …
override BLENDED: bool = false;    // … with the weights in blend
override WEIGHTED: bool = false;
override BIASED: bool = false;
override MODULATED: bool = false;  // by emb …
override TABLED: bool = false;     // … plus table
override THREADS: u32 = 256u;      // in a workgroup, at most 256
override LANES: u32 = 256u;        // of them on one row; a power of two

var<workgroup> partial: array<vec2f, 256>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (params.base + workgroup.x + workgroup.y * grid.x) * (THREADS / LANES);
    // Threads beyond the last row go along to the barriers with the last row, and write nothing.
    let live = first + thread / LANES < params.rows;
    let row = min(first + thread / LANES, params.rows - 1u);
    let lane = thread % LANES;
    let channels = params.channels;

    var mean = 0.0;
    if CENTRED {
        var sum = 0.0;
        for (var c = lane; c < channels; c += LANES) {
            sum += source(row, c);
        }
        mean = total(vec2f(sum, 0.0), thread).x / f32(channels);
    }
    // The squares are of deviations, so a large mean cancels nothing. What rounding left of the mean is summed beside
    // them and taken out: at mean 1000 and deviation 0.01 it is a hundredth of the result and more.
    var sums = vec2f(0.0);
    for (var c = lane; c < channels; c += LANES) {
        let deviation = source(row, c) - mean;
        sums += vec2f(deviation, deviation * deviation);
    }
    sums = total(sums, thread) / f32(channels);
    let rest = select(0.0, sums.x, CENTRED);
    let inverse = inverseSqrt(max(sums.y - rest * rest, 0.0) + params.eps);

    let sample = row / params.compact * params.emb_stride;
    for (var c = lane; c < channels; c += LANES) {
        var y = (source(row, c) - mean - rest) * inverse;
        if WEIGHTED {
            y *= weight[c];
        }
        if BIASED {
            y += bias[c];
        }
        if MODULATED {
            var scale = emb[sample + params.emb_scale + c];
            var shift = emb[sample + params.emb_shift + c];
            if TABLED {
                scale += table[params.table_scale + c];
                shift += table[params.table_shift + c];
            }
            y = y * (1.0 + scale) + shift;
        }
        if live {
            out[row * channels + c] = y;
        }
    }
}

// Element c of the row x̂.
fn source(row: u32, c: u32) -> f32 {
    if !MAPPED {
        return x[row * params.channels + c];
    }
    let sample = row / params.compact * params.stream;
    var sum = 0.0;
    for (var at = row * params.sources; at < (row + 1u) * params.sources; at++) {
        var share = params.share;
        if BLENDED {
            share = blend[at];
        }
        // An index beyond the sample's rows would leave x.
        sum += share * x[(sample + min(index[at], params.stream - 1u)) * params.channels + c];
    }
    return sum;
}

// The sum of value over the threads of a row.
fn total(value: vec2f, thread: u32) -> vec2f {
    if LANES == 1u {
        return value;
    }
    partial[thread] = value;
    workgroupBarrier();
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        if thread % LANES < stride {
            partial[thread] += partial[thread + stride];
        }
        workgroupBarrier();
    }
    let sum = partial[thread - thread % LANES];
    workgroupBarrier();  // before the next total overwrites it
    return sum;
}
