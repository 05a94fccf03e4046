// Top-k: the k rows of a sample with the highest logits, ties to the lower row, in ascending order. One workgroup per
// sample. Four passes of a radix search find the k-th highest key, a last one writes the rows that are kept.

struct Params {
    batch: u32,  // B
    rows: u32,   // N
    kept: u32,   // k
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;       // [B, N]
@group(0) @binding(2) var<storage, read_write> kept: array<u32>;   // [B, k, 1]: the row that each compact row is
@group(0) @binding(3) var<storage, read_write> place: array<u32>;  // [B, N]: the compact row of each row, or NOTHING

override THREADS: u32 = 256u;  // a power of two, at most 256

const BINS = 256u;  // one for each value of a byte
const NOTHING = 0xffffffffu;

var<workgroup> histogram: array<atomic<u32>, BINS>;
var<workgroup> found: vec2u;               // the bin that the k-th highest key is in, and how many of it are kept
var<workgroup> above: array<u32, 256>;     // per thread: rows of its stretch with a key above the k-th highest …
var<workgroup> equal: array<u32, 256>;     // … and with just that key

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let sample = workgroup.x + workgroup.y * grid.x;
    if sample >= params.batch {
        return;
    }
    let first = sample * params.rows;

    // Byte by byte from the top: `high` is what is known of the k-th highest key, `need` its rank among those that
    // begin with it.
    var high = 0u;
    var need = params.kept;
    for (var shift = 24i; shift >= 0i; shift -= 8i) {
        for (var bin = thread; bin < BINS; bin += THREADS) {
            atomicStore(&histogram[bin], 0u);
        }
        workgroupBarrier();
        for (var row = thread; row < params.rows; row += THREADS) {
            let key = key_of(logits[first + row]);
            // In two shifts, for a shift by 32 is none.
            if ((key ^ high) >> u32(shift)) >> 8u == 0u {
                atomicAdd(&histogram[(key >> u32(shift)) & 255u], 1u);
            }
        }
        workgroupBarrier();
        // Each thread counts its stretch of bins, and from those above it finds whether the k-th highest key is there.
        let bins = BINS / THREADS;
        var keys = 0u;
        for (var bin = thread * bins; bin < (thread + 1u) * bins; bin++) {
            keys += atomicLoad(&histogram[bin]);
        }
        above[thread] = keys;
        workgroupBarrier();
        var higher = 0u;
        for (var other = thread + 1u; other < THREADS; other++) {
            higher += above[other];
        }
        for (var down = 1u; down <= bins; down++) {
            let bin = (thread + 1u) * bins - down;
            let within = atomicLoad(&histogram[bin]);
            if higher < need && higher + within >= need {
                found = vec2u(bin, need - higher);
            }
            higher += within;
        }
        let step = workgroupUniformLoad(&found);
        high |= step.x << u32(shift);
        need = step.y;
    }

    // Each thread has a stretch of rows; those before it tell where its own go.
    let stretch = (params.rows + THREADS - 1u) / THREADS;
    let start = min(thread * stretch, params.rows);
    let end = min(start + stretch, params.rows);
    var count = vec2u(0u);
    for (var row = start; row < end; row++) {
        let key = key_of(logits[first + row]);
        count += vec2u(u32(key > high), u32(key == high));
    }
    above[thread] = count.x;
    equal[thread] = count.y;
    workgroupBarrier();
    var higher = 0u;
    var ties = 0u;
    for (var other = 0u; other < thread; other++) {
        higher += above[other];
        ties += equal[other];
    }
    for (var row = start; row < end; row++) {
        let key = key_of(logits[first + row]);
        let keep = key > high || (key == high && ties < need);
        let compact = higher + min(ties, need);
        if keep {
            kept[sample * params.kept + compact] = row;
        }
        place[first + row] = select(NOTHING, compact, keep);
        higher += u32(key > high);
        ties += u32(key == high);
    }
}

// A number whose order as an integer is the float's. Both zeros are one.
fn key_of(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    if bits == 0x80000000u {
        return 0x80000000u;
    }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}
