// The destination that each source is most like: the greatest dot product, and the first of equals. The destinations of
// a sample are dealt out in slices, so that there is work for a whole GPU: `tiled` and `direct` find the best of a
// slice, `combine` the best of those.
//
// As in linear.wgsl everything is made of 4×4 blocks, mat4x4f whose column i is row i of the block. A block of products
// has a column for each destination and a component for each source, so that comparing is done four sources at a time.
// `tiled` shares tiles of both sides in workgroup memory, for hardware; `direct` holds tiles in registers and reads
// storage, for software adapters.

struct Params {
    base: u32,          // the first workgroup of this portion
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
        return select(vec4f(), load(which, (start + min(c, params.channels - 4u)) / 4u), c < params.channels);
    }
    let channels = vec4u(c, c + 1u, c + 2u, c + 3u);
    let at = start + min(channels, vec4u(params.channels - 1u));
    let i = at / 4u;
    let j = at % 4u;
    let found = vec4f(load(which, i.x)[j.x], load(which, i.y)[j.y], load(which, i.z)[j.z], load(which, i.w)[j.w]);
    return select(vec4f(), found, channels < vec4u(params.channels));
}

/// Four rows from `row` on, of the `rows` that begin with row `first`.
fn block(which: u32, first: u32, row: u32, rows: u32, c: u32) -> mat4x4f {
    let starts = (first + min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(rows - 1u))) * params.channels;
    return mat4x4f(
        numbers(which, starts.x, c), numbers(which, starts.y, c),
        numbers(which, starts.z, c), numbers(which, starts.w, c),
    );
}

fn source_block(sample: u32, source: u32, c: u32) -> mat4x4f {
    return block(SOURCES, sample * params.sources, source, params.sources, c);
}

fn destination_block(sample: u32, destination: u32, c: u32) -> mat4x4f {
    return block(DESTINATIONS, sample * params.destinations, destination, params.destinations, c);
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

/// A tile of sources, and the slice of destinations it is held against.
struct Place { sample: u32, slice: u32, source: u32 }

/// The `index`th tile of `size` sources.
fn place(index: u32, size: u32) -> Place {
    let tiles = (params.sources + size - 1u) / size;
    return Place(index / tiles / params.slices, index / tiles % params.slices, index % tiles * size);
}

fn store(tile: Place, source: u32, product: f32, destination: u32) {
    if source < params.sources {
        let at = (tile.sample * params.slices + tile.slice) * params.sources + source;
        score[at] = product;
        best[at] = min(destination, params.destinations - 1u);
    }
}

// ---- Hardware: 64×64 products a workgroup, 8×8 a thread, 16 channels staged at a time

var<workgroup> source_tile: array<vec4f, 256>;       // [16 channels, 64 sources]
var<workgroup> destination_tile: array<vec4f, 256>;  // [16 channels, 64 destinations]
var<workgroup> found_score: array<vec4f, 128>;       // [64 sources, by fours; 8 threads]
var<workgroup> found_at: array<vec4u, 128>;

@compute @workgroup_size(64)
fn tiled(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = place(params.base + workgroup.x + workgroup.y * grid.x, 64u);
    if tile.sample >= params.samples {
        return;
    }
    // Each thread stages one block of either side; neighbours stage neighbouring rows, which lie on different banks.
    let stage_row = thread % 16u * 4u;
    let stage_channel = thread / 16u * 4u;
    // Its products are of four sources from 4·down on and four from 32 further, with destinations alike.
    let down = thread / 8u;
    let across = thread % 8u;

    let first = tile.slice * params.slice;
    var best0 = Best(vec4f(LOWEST), vec4u(first));
    var best1 = best0;
    let end = min(first + params.slice, params.destinations);
    for (var destination = first; destination < end; destination += 64u) {
        // Spelt out: Chromium 156 lets a variable without an initialiser keep the last round's value.
        var sums0 = mat4x4f();
        var sums1 = mat4x4f();
        var sums2 = mat4x4f();
        var sums3 = mat4x4f();
        for (var c = 0u; c < params.channels; c += 16u) {
            let ss = transpose(source_block(tile.sample, tile.source + stage_row, c + stage_channel));
            let ds = transpose(destination_block(tile.sample, destination + stage_row, c + stage_channel));
            workgroupBarrier();
            for (var i = 0u; i < 4u; i++) {
                source_tile[(stage_channel + i) * 16u + thread % 16u] = ss[i];
                destination_tile[(stage_channel + i) * 16u + thread % 16u] = ds[i];
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

// ---- Software, VEC4: 16 sources a thread, 32 destinations at a time, straight from storage. A software adapter reads
// ---- lane by lane, so most of its time would go into loads that few products share.

/// Sixteen sources: their channels, or their products with four destinations.
struct Four { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }

struct Bests { a: Best, b: Best, c: Best, d: Best }

fn source_blocks(sample: u32, source: u32, c: u32) -> Four {
    return Four(
        transpose(source_block(sample, source, c)), transpose(source_block(sample, source + 4u, c)),
        transpose(source_block(sample, source + 8u, c)), transpose(source_block(sample, source + 12u, c)),
    );
}

fn add_products(sums: Four, ss: Four, ds: mat4x4f) -> Four {
    return Four(sums.a + ss.a * ds, sums.b + ss.b * ds, sums.c + ss.c * ds, sums.d + ss.d * ds);
}

fn take_all(known: Bests, products: Four, destination: u32) -> Bests {
    return Bests(
        take(known.a, products.a, destination), take(known.b, products.b, destination),
        take(known.c, products.c, destination), take(known.d, products.d, destination),
    );
}

fn store_all(tile: Place, source: u32, found: Best) {
    var of_four = found;
    for (var i = 0u; i < 4u; i++) {
        store(tile, source + i, of_four.score[i], of_four.at[i]);
    }
}

@compute @workgroup_size(8)
fn direct(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = place(params.base + workgroup.x + workgroup.y * grid.x, 128u);
    let sample = tile.sample;
    if sample >= params.samples {
        return;
    }
    let source = tile.source + thread * 16u;
    let first = tile.slice * params.slice;
    let none = Best(vec4f(LOWEST), vec4u(first));
    var found = Bests(none, none, none, none);
    let end = min(first + params.slice, params.destinations);
    for (var to = first; to < end; to += 32u) {
        var sums0 = Four(); // spelt out, as above
        var sums1 = Four();
        var sums2 = Four();
        var sums3 = Four();
        var sums4 = Four();
        var sums5 = Four();
        var sums6 = Four();
        var sums7 = Four();
        for (var c = 0u; c < params.channels; c += 4u) {
            let ss = source_blocks(sample, source, c);
            sums0 = add_products(sums0, ss, destination_block(sample, to, c));
            sums1 = add_products(sums1, ss, destination_block(sample, to + 4u, c));
            sums2 = add_products(sums2, ss, destination_block(sample, to + 8u, c));
            sums3 = add_products(sums3, ss, destination_block(sample, to + 12u, c));
            sums4 = add_products(sums4, ss, destination_block(sample, to + 16u, c));
            sums5 = add_products(sums5, ss, destination_block(sample, to + 20u, c));
            sums6 = add_products(sums6, ss, destination_block(sample, to + 24u, c));
            sums7 = add_products(sums7, ss, destination_block(sample, to + 28u, c));
        }
        found = take_all(take_all(found, sums0, to), sums1, to + 4u);
        found = take_all(take_all(found, sums2, to + 8u), sums3, to + 12u);
        found = take_all(take_all(found, sums4, to + 16u), sums5, to + 20u);
        found = take_all(take_all(found, sums6, to + 24u), sums7, to + 28u);
    }
    store_all(tile, source, found.a);
    store_all(tile, source + 4u, found.b);
    store_all(tile, source + 8u, found.c);
    store_all(tile, source + 12u, found.d);
}

// ---- The best of the slices, a thread for each source

@compute @workgroup_size(64)
fn combine(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let source = (params.base + workgroup.x + workgroup.y * grid.x) * 64u + thread;
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
