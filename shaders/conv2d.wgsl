// out[b, o] = bias[o] + Σ over channels c and taps (ky, kx) of weight[o, c, ky, kx] · x[b, c, y(ky), x(kx)].
//
// A thread computes 8 output channels × a strip of 8 or 16 neighbouring pixels of one row, in registers. At stride 1
// the strip slides along a row of taps, so that the next tap costs one load instead of a strip's. The threads of a
// workgroup share their channels: GPUs stage the decoded weights in workgroup memory (STAGED); software adapters load
// from storage just as fast and prefer the wider strip (WIDE), which is more arithmetic per load.

struct Params {
    base: u32,           // the first workgroup of this portion
    channels: u32,       // of x
    height: u32,         // of x, before the upsampling
    width: u32,
    out_channels: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    pad_top: i32,
    pad_left: i32,
    row_words: u32,      // of one output channel's packed weights
    strips_per_row: u32,
    strips: u32,         // B · out_height · strips_per_row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [B, channels, height, width]
@group(0) @binding(2) var<storage, read> weight: array<u32>;        // [out_channels, row_words]
@group(0) @binding(3) var<storage, read> bias: array<f32>;          // [out_channels]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;     // [B, out_channels, out_height, out_width]

override STRIDE: i32 = 1;
override UPSAMPLE: u32 = 0u;      // log2 of how often each pixel of x is repeated, in both directions
override HAS_BIAS: bool = true;
override FORMAT: u32 = 0u;        // of the weights: 0 f32, 1 f16, 2 bf16
override STAGED: bool = true;
override WIDE: bool = false;

const THREADS = 64u;
const PIECE = 192u;               // taps staged at a time: 6 KiB

var<workgroup> staged: array<array<vec4f, 2>, PIECE>;

// Weight k of four output channels, whose rows begin at these words.
fn decode(rows: vec4u, k: u32) -> vec4f {
    let at = rows + select(k / 2u, k, FORMAT == 0u);
    let words = vec4u(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
    if FORMAT == 0u {
        return bitcast<vec4f>(words);
    }
    let halves = (words >> vec4u(16u * (k & 1u))) & vec4u(0xffffu);
    if FORMAT == 2u {
        return bitcast<vec4f>(halves << vec4u(16u));
    }
    return vec4f(
        unpack2x16float(halves.x).x,
        unpack2x16float(halves.y).x,
        unpack2x16float(halves.z).x,
        unpack2x16float(halves.w).x,
    );
}

// The pixel in column i of the row of x that starts at `row`; zero outside its `width`.
fn pixel(row: u32, width: u32, i: i32) -> f32 {
    let column = u32(i) >> UPSAMPLE;    // left of the image this is huge
    let inside = column < width;
    return select(0.0, x[select(0u, row + column, inside)], inside);
}

fn pixels(row: u32, width: u32, i: i32) -> vec4f {
    return vec4f(
        pixel(row, width, i),
        pixel(row, width, i + STRIDE),
        pixel(row, width, i + 2 * STRIDE),
        pixel(row, width, i + 3 * STRIDE),
    );
}

// A column per channel, a row per pixel.
fn outer(pixels: vec4f, channels: vec4f) -> mat4x4f {
    return mat4x4f(pixels * channels.x, pixels * channels.y, pixels * channels.z, pixels * channels.w);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let shape = params;
    let index = shape.base + workgroup.x + workgroup.y * grid.x;
    let blocks = (shape.strips + THREADS - 1u) / THREADS;
    let channel = index / blocks * 8u;
    if channel >= shape.out_channels {
        return;
    }
    let last = vec4u(shape.out_channels - 1u);      // beyond it, weights are read again and sums dropped
    let low = min(channel + vec4u(0u, 1u, 2u, 3u), last) * shape.row_words;
    let high = min(channel + vec4u(4u, 5u, 6u, 7u), last) * shape.row_words;

    let strip = index % blocks * THREADS + thread;
    let out_x = strip % shape.strips_per_row * select(8u, 16u, WIDE);
    let out_y = strip / shape.strips_per_row % shape.out_height;
    let sample = strip / shape.strips_per_row / shape.out_height;
    let top = i32(out_y) * STRIDE - shape.pad_top;
    let left = i32(out_x) * STRIDE - shape.pad_left;
    let live = strip < shape.strips;

    var acc: array<mat4x4f, 8>;         // low and high channels of four pixels, then of the next four, …
    var plane = sample * shape.channels * shape.height * shape.width;
    var ky = 0u;

    // Rows of taps, one for each channel and ky, in pieces that workgroup memory holds.
    let rows = shape.channels * shape.kernel_height;
    let piece = select(rows, PIECE / shape.kernel_width, STAGED);
    for (var begin = 0u; begin < rows; begin += piece) {
        let end = min(begin + piece, rows);
        if STAGED {
            workgroupBarrier();
            for (var i = thread; i < (end - begin) * shape.kernel_width; i += THREADS) {
                let k = begin * shape.kernel_width + i;
                staged[i] = array<vec4f, 2>(decode(low, k), decode(high, k));
            }
            workgroupBarrier();
        }
        var k = 0u;
        for (var i = begin; i < end; i++) {
            let y = u32(top + i32(ky)) >> UPSAMPLE;
            let row = plane + y * shape.width;
            let width = select(0u, shape.width, live && y < shape.height);
            var p = pixels(row, width, left - STRIDE);
            var q = pixels(row, width, left + 3 * STRIDE);
            var r: vec4f;
            var s: vec4f;
            if WIDE {
                r = pixels(row, width, left + 7 * STRIDE);
                s = pixels(row, width, left + 11 * STRIDE);
            }
            for (var kx = 0; kx < i32(shape.kernel_width); kx++) {
                let at = left + kx;
                if STRIDE == 1 {
                    p = vec4f(p.yzw, q.x);
                    if WIDE {
                        q = vec4f(q.yzw, r.x);
                        r = vec4f(r.yzw, s.x);
                        s = vec4f(s.yzw, pixel(row, width, at + 15));
                    } else {
                        q = vec4f(q.yzw, pixel(row, width, at + 7));
                    }
                } else {
                    p = pixels(row, width, at);
                    q = pixels(row, width, at + 4 * STRIDE);
                    if WIDE {
                        r = pixels(row, width, at + 8 * STRIDE);
                        s = pixels(row, width, at + 12 * STRIDE);
                    }
                }
                var u: vec4f;
                var v: vec4f;
                if STAGED {
                    u = staged[k][0];
                    v = staged[k][1];
                } else {
                    u = decode(low, k);
                    v = decode(high, k);
                }
                acc[0] += outer(p, u);
                acc[1] += outer(p, v);
                acc[2] += outer(q, u);
                acc[3] += outer(q, v);
                if WIDE {
                    acc[4] += outer(r, u);
                    acc[5] += outer(r, v);
                    acc[6] += outer(s, u);
                    acc[7] += outer(s, v);
                }
                k += 1u;
            }
            ky += 1u;
            if ky == shape.kernel_height {
                ky = 0u;
                plane += shape.height * shape.width;
            }
        }
    }

    if !live {
        return;
    }
    let base = (sample * shape.out_channels * shape.out_height + out_y) * shape.out_width;
    write(base, channel, out_x, acc[0]);
    write(base, channel + 4u, out_x, acc[1]);
    write(base, channel, out_x + 4u, acc[2]);
    write(base, channel + 4u, out_x + 4u, acc[3]);
    if WIDE {
        write(base, channel, out_x + 8u, acc[4]);
        write(base, channel + 4u, out_x + 8u, acc[5]);
        write(base, channel, out_x + 12u, acc[6]);
        write(base, channel + 4u, out_x + 12u, acc[7]);
    }
}

fn write(base: u32, channel: u32, column: u32, sums: mat4x4f) {
    // Columns by constant index: a dynamic one would move the accumulators out of the registers.
    write_strip(base, channel, column, sums[0]);
    write_strip(base, channel + 1u, column, sums[1]);
    write_strip(base, channel + 2u, column, sums[2]);
    write_strip(base, channel + 3u, column, sums[3]);
}

fn write_strip(base: u32, channel: u32, column: u32, sums: vec4f) {
    if channel >= params.out_channels {
        return;
    }
    var strip = sums;
    if HAS_BIAS {
        strip += bias[channel];
    }
    let at = base + channel * params.out_height * params.out_width + column;
    for (var i = 0u; i < min(4u, params.out_width - min(column, params.out_width)); i++) {
        out[at + i] = strip[i];
    }
}
