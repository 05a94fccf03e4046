// The destination that each source is most like: the greatest dot product, and the first of equals. The destinations of
// a sample are dealt out in slices, so that there is work for a whole GPU: `tiled` and `direct` find the best of a
// slice, `combine` the best of those.
//
// As in linear.wgsl everything is made of 4×4 blocks, mat4x4f whose column i is row i of the block. A block of products
// has a column for each destination and a component for each source, so that comparing is done four sources at a time.
// `tiled` shares tiles of both sides in workgroup memory, for hardware; `direct` holds tiles in registers and reads
// storage, for software adapters.

struct Params {
    sources: u32,       // Ns
    destinations: u32,  // Nd
    channels: u32,      // C
    samples: u32,       // B
    slice: u32,         // destinations of a slice, a multiple of 64
    slices: u32,        // S, of a sample
}

@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> sources: array<vec4f>;       // [B, Ns, C], four numbers together
@group(0) @binding(2) var<storage, read> destinations: array<vec4f>;  // [B, Nd, C]

@group(0) @binding(1) var<storage, read> slice_score: array<f32>;     // [B, S, Ns]
@group(0) @binding(2) var<storage, read> slice_best: array<u32>;      // [B, S, Ns]

@group(0) @binding(3) var<storage, read_write> score: array<f32>;     // [B, S, Ns]; combine: [B, Ns]
@group(0) @binding(4) var<storage, read_write> best: array<u32>;      // alike: indices into destinations

override VEC4: bool = false;  // 4 divides C

/// Below every product: stands for −∞, which GPUs need not honour.
const LOWEST: f32 = -3.4028234e38;

// ---- Blocks: zero past the last channel. Rows past the end repeat the last one, which nothing is then better than.

fn row_starts(first: u32, row: u32, rows: u32) -> vec4u {
    return (first + min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(rows - 1u))) * params.channels;
}

const SOURCES: u32 = 0u;
const DESTINATIONS: u32 = 1u;

/// `which` is always a constant, so nothing of the choice is left once compiled.
fn load(which: u32, i: u32) -> vec4f {
    if which == SOURCES {
        return sources[i];
    }
    return destinations[i];
}

/// Channels c … c + 3 of the row that begins at `start`; c is a multiple of 4.
fn numbers(which: u32, start: u32, c: u32) -> vec4f {
    if VEC4 {
        return select(vec4f(), load(which, (start + c) / 4u), c < params.channels);
    }
    let channels = vec4u(c, c + 1u, c + 2u, c + 3u);
    let at = start + min(channels, vec4u(params.channels - 1u));
    let i = at / 4u;
    let j = at % 4u;
    let found = vec4f(load(which, i.x)[j.x], load(which, i.y)[j.y], load(which, i.z)[j.z], load(which, i.w)[j.w]);
    return select(vec4f(), found, channels < vec4u(params.channels));
}

fn block(which: u32, starts: vec4u, c: u32) -> mat4x4f {
    return mat4x4f(
        numbers(which, starts.x, c), numbers(which, starts.y, c), numbers(which, starts.z, c), numbers(which, starts.w, c),
    );
}

// ---- The best so far of four sources

struct Best { score: vec4f, at: vec4u }

fn better(known: Best, products: vec4f, destination: u32) -> Best {
    let more = products > known.score;
    return Best(select(known.score, products, more), select(known.at, vec4u(destination), more));
}

/// Takes in four destinations from `destination` on.
fn take(known: Best, products: mat4x4f, destination: u32) -> Best {
    let one = better(known, products[0], destination);
    let two = better(one, products[1], destination + 1u);
    let three = better(two, products[2], destination + 2u);
    return better(three, products[3], destination + 3u);
}

/// A tile of 64 sources, and the slice of destinations it is held against.
struct Place { sample: u32, slice: u32, source: u32 }

fn place(workgroup: u32) -> Place {
    let tiles = (params.sources + 63u) / 64u;
    return Place(workgroup / tiles / params.slices, workgroup / tiles % params.slices, workgroup % tiles * 64u);
}

fn store(tile: Place, source: u32, product: f32, destination: u32) {
    if source < params.sources {
        let at = (tile.sample * params.slices + tile.slice) * params.sources + source;
        score[at] = product;
        best[at] = destination;
    }
}

// ---- Hardware: 64×64 products a workgroup, 8×8 a thread, 16 channels staged at a time

var<workgroup> source_tile: array<vec4f, 256>;       // [16 channels, 64 sources]
var<workgroup> destination_tile: array<vec4f, 256>;  // [16 channels, 64 destinations]
var<workgroup> found_score: array<vec4f, 128>;       // [64 sources, by fours; 8 threads]
var<workgroup> found_at: array<vec4u, 128>;

fn outer(sums: mat4x4f, ds: vec4f, ss: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(vec4f(ds.x), ss, sums[0]), fma(vec4f(ds.y), ss, sums[1]),
        fma(vec4f(ds.z), ss, sums[2]), fma(vec4f(ds.w), ss, sums[3]),
    );
}

@compute @workgroup_size(64)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = place(workgroup.x + workgroup.y * grid.x);
    if tile.sample >= params.samples {
        return;
    }
    // Each thread stages one block of either side; neighbours stage neighbouring rows, which lie on different banks.
    let stage_row = thread % 16u;
    let stage_channel = thread / 16u * 4u;
    let source_starts = row_starts(tile.sample * params.sources, tile.source + 4u * stage_row, params.sources);
    // Its products are of four sources from 4·down on and four from 32 further, with destinations alike.
    let down = thread / 8u;
    let across = thread % 8u;

    var best0 = Best(vec4f(LOWEST), vec4u());
    var best1 = best0;
    let first = tile.slice * params.slice;
    let end = min(first + params.slice, params.destinations);
    for (var destination = first; destination < end; destination += 64u) {
        let starts =
            row_starts(tile.sample * params.destinations, destination + 4u * stage_row, params.destinations);
        // Spelt out: Chromium 156 lets a variable without an initialiser keep the last round's value.
        var sums0 = mat4x4f();
        var sums1 = mat4x4f();
        var sums2 = mat4x4f();
        var sums3 = mat4x4f();
        for (var c = 0u; c < params.channels; c += 16u) {
            let ss = transpose(block(SOURCES, source_starts, c + stage_channel));
            let ds = transpose(block(DESTINATIONS, starts, c + stage_channel));
            workgroupBarrier();
            for (var i = 0u; i < 4u; i++) {
                source_tile[(stage_channel + i) * 16u + stage_row] = ss[i];
                destination_tile[(stage_channel + i) * 16u + stage_row] = ds[i];
            }
            workgroupBarrier();
            for (var i = 0u; i < 256u; i += 16u) {
                let s0 = source_tile[i + down];
                let s1 = source_tile[i + down + 8u];
                let d0 = destination_tile[i + across];
                let d1 = destination_tile[i + across + 8u];
                sums0 = outer(sums0, d0, s0);
                sums1 = outer(sums1, d1, s0);
                sums2 = outer(sums2, d0, s1);
                sums3 = outer(sums3, d1, s1);
            }
        }
        let own = destination + 4u * across;
        best0 = take(take(best0, sums0, own), sums1, own + 32u);
        best1 = take(take(best1, sums2, own), sums3, own + 32u);
    }

    found_score[thread] = best0.score;
    found_at[thread] = best0.at;
    found_score[thread + 64u] = best1.score;
    found_at[thread + 64u] = best1.at;
    workgroupBarrier();
    // One source for each thread. The eight that looked for its best saw destinations in turn.
    var highest = LOWEST;
    var at = 0xffffffffu;
    for (var i = thread / 4u * 8u; i < thread / 4u * 8u + 8u; i++) {
        let product = found_score[i][thread % 4u];
        let destination = found_at[i][thread % 4u];
        if product > highest || (product == highest && destination < at) {
            highest = product;
            at = destination;
        }
    }
    store(tile, tile.source + thread, highest, at);
}

// ---- Software: 8 sources a thread, 16 destinations at a time, straight from storage

/// Eight sources: two blocks, or two fours of what is best.
struct Pair { a: mat4x4f, b: mat4x4f }

fn add_products(sums: Pair, ss: Pair, ds: mat4x4f) -> Pair {
    return Pair(sums.a + ss.a * ds, sums.b + ss.b * ds);
}

@compute @workgroup_size(8)
fn direct(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = place(workgroup.x + workgroup.y * grid.x);
    if tile.sample >= params.samples {
        return;
    }
    let source = tile.source + thread * 8u;
    let starts_a = row_starts(tile.sample * params.sources, source, params.sources);
    let starts_b = row_starts(tile.sample * params.sources, source + 4u, params.sources);
    let first_destination = tile.sample * params.destinations;
    var best_a = Best(vec4f(LOWEST), vec4u());
    var best_b = best_a;
    let first = tile.slice * params.slice;
    let end = min(first + params.slice, params.destinations);
    for (var destination = first; destination < end; destination += 16u) {
        let starts0 = row_starts(first_destination, destination, params.destinations);
        let starts1 = row_starts(first_destination, destination + 4u, params.destinations);
        let starts2 = row_starts(first_destination, destination + 8u, params.destinations);
        let starts3 = row_starts(first_destination, destination + 12u, params.destinations);
        var sums0 = Pair(); // spelt out, as above
        var sums1 = Pair();
        var sums2 = Pair();
        var sums3 = Pair();
        for (var c = 0u; c < params.channels; c += 4u) {
            let ss = Pair(transpose(block(SOURCES, starts_a, c)), transpose(block(SOURCES, starts_b, c)));
            sums0 = add_products(sums0, ss, block(DESTINATIONS, starts0, c));
            sums1 = add_products(sums1, ss, block(DESTINATIONS, starts1, c));
            sums2 = add_products(sums2, ss, block(DESTINATIONS, starts2, c));
            sums3 = add_products(sums3, ss, block(DESTINATIONS, starts3, c));
        }
        best_a = take(take(best_a, sums0.a, destination), sums1.a, destination + 4u);
        best_a = take(take(best_a, sums2.a, destination + 8u), sums3.a, destination + 12u);
        best_b = take(take(best_b, sums0.b, destination), sums1.b, destination + 4u);
        best_b = take(take(best_b, sums2.b, destination + 8u), sums3.b, destination + 12u);
    }
    for (var i = 0u; i < 4u; i++) {
        store(tile, source + i, best_a.score[i], best_a.at[i]);
        store(tile, source + 4u + i, best_b.score[i], best_b.at[i]);
    }
}

// ---- The best of the slices, a thread for each source

@compute @workgroup_size(64)
fn combine(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let source = (workgroup.x + workgroup.y * grid.x) * 64u + thread;
    if source >= params.samples * params.sources {
        return;
    }
    var at = source / params.sources * params.slices * params.sources + source % params.sources;
    var highest = slice_score[at];
    var destination = slice_best[at];
    for (var slice = 1u; slice < params.slices; slice++) {
        at += params.sources;
        if slice_score[at] > highest {
            highest = slice_score[at];
            destination = slice_best[at];
        }
    }
    score[source] = highest;
    best[source] = destination;
}
