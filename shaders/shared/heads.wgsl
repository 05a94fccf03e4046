// What attention reads and writes: columns of q, k and v, head by head, and the scores of queries with keys.
//
// As in product.wgsl everything is made of 4×4 blocks, mat4x4f whose column i is row i of the block.

struct Params {
    base: u32,       // the first workgroup of this portion
    queries: u32,    // Nq
    keys: u32,       // Nk
    heads: u32,      // H
    head_dim: u32,   // D
    samples: u32,    // B
    kv_samples: u32, // 1 or B
    slices: u32,     // staged: workgroups that share out the columns of one head
    q_width: u32,    // q is columns offset … offset + H·D of rows of this width, k and v alike
    q_offset: u32,
    k_width: u32,
    k_offset: u32,
    v_width: u32,
    v_offset: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;             // [B, Nq, q_width], four numbers together
@group(0) @binding(2) var<storage, read> k: array<vec4f>;             // [1 or B, Nk, k_width]
@group(0) @binding(3) var<storage, read> v: array<vec4f>;             // [1 or B, Nk, v_width]
@group(0) @binding(4) var<storage, read> key_bias: array<f32>;        // [B, Nk]
@group(0) @binding(5) var<storage, read> position_bias: array<f32>;   // [H, Nq, Nk]
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;     // [B, Nq, H·D]

override VEC4: bool = false;          // 4 divides D and all widths and offsets
override KEY_BIAS: bool = false;
override POSITION_BIAS: bool = false;

/// Stands for −∞, which GPUs need not honour: a row of nothing but this has a uniform softmax, not a NaN.
const LOWEST: f32 = -3.4028234e38;

/// A tile of queries: whose they are, and where its sample and head begin in each value.
struct Place { sample: u32, head: u32, query: u32, q: u32, k: u32, v: u32, out: u32 }

/// The `index`th tile of `size` queries.
fn place(index: u32, size: u32) -> Place {
    let tiles = (params.queries + size - 1u) / size;
    let head = index / tiles % params.heads;
    let sample = index / tiles / params.heads;
    let first_key = sample % params.kv_samples * params.keys;
    let column = head * params.head_dim;
    return Place(
        sample, head, index % tiles * size,
        sample * params.queries * params.q_width + params.q_offset + column,
        first_key * params.k_width + params.k_offset + column,
        first_key * params.v_width + params.v_offset + column,
        sample * params.queries * params.heads * params.head_dim + column,
    );
}

// ---- Blocks in memory: zero past the head's last column. Rows past the end repeat the last one.

const Q: u32 = 0u;
const K: u32 = 1u;
const V: u32 = 2u;

/// `which` is always a constant, so nothing of the switch is left once compiled.
fn load(which: u32, i: u32) -> vec4f {
    switch which {
        case Q: { return q[i]; }
        case K: { return k[i]; }
        default: { return v[i]; }
    }
}

fn four(i: u32) -> vec4u {
    return vec4u(i, i + 1u, i + 2u, i + 3u);
}

/// Columns d … d + 3 of the head whose columns in this row begin at `row`.
fn numbers(which: u32, row: u32, d: u32) -> vec4f {
    let inside = four(d) < vec4u(params.head_dim);
    if VEC4 {
        return select(vec4f(), load(which, (row + min(d, params.head_dim - 4u)) / 4u), inside);
    }
    let at = row + min(four(d), vec4u(params.head_dim - 1u));
    let i = at / 4u;
    let j = at % 4u;
    let found = vec4f(load(which, i.x)[j.x], load(which, i.y)[j.y], load(which, i.z)[j.z], load(which, i.w)[j.w]);
    return select(vec4f(), found, inside);
}

fn block(which: u32, rows: vec4u, d: u32) -> mat4x4f {
    return mat4x4f(
        numbers(which, rows.x, d), numbers(which, rows.y, d), numbers(which, rows.z, d), numbers(which, rows.w, d),
    );
}

fn q_block(tile: Place, query: u32, d: u32) -> mat4x4f {
    return block(Q, tile.q + min(four(query), vec4u(params.queries - 1u)) * params.q_width, d);
}

fn k_block(tile: Place, key: u32, d: u32) -> mat4x4f {
    return block(K, tile.k + min(four(key), vec4u(params.keys - 1u)) * params.k_width, d);
}

fn v_block(tile: Place, key: u32, d: u32) -> mat4x4f {
    return block(V, tile.v + min(four(key), vec4u(params.keys - 1u)) * params.v_width, d);
}

fn out_row(tile: Place, query: u32) -> u32 {
    return tile.out + query * params.heads * params.head_dim;
}

fn store(row: u32, d: u32, numbers: vec4f) {
    if VEC4 {
        if d < params.head_dim {
            out[(row + d) / 4u] = numbers;
        }
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        if d + i < params.head_dim {
            out[(row + d + i) / 4u][(row + d + i) % 4u] = numbers[i];
        }
    }
}

/// Four columns of four queries.
fn store_block(tile: Place, query: u32, d: u32, block: mat4x4f) {
    var rows = block;
    for (var i = 0u; i < 4u; i++) {
        if query + i < params.queries {
            store(out_row(tile, query + i), d, rows[i]);
        }
    }
}

// ---- Scores and weights of four queries with four keys

/// What is added to the scores of four keys for every query; keys past the end get the lowest there is.
fn key_terms(sample: u32, key: u32) -> vec4f {
    var terms: vec4f;
    if KEY_BIAS {
        let at = sample * params.keys + min(four(key), vec4u(params.keys - 1u));
        terms = vec4f(key_bias[at.x], key_bias[at.y], key_bias[at.z], key_bias[at.w]);
    }
    return select(vec4f(LOWEST), terms, four(key) < vec4u(params.keys));
}

fn scores_of(head: u32, query: u32, key: u32, products: vec4f, terms: vec4f) -> vec4f {
    var scores = params.scale * products + terms;
    if POSITION_BIAS {
        let row = (head * params.queries + min(query, params.queries - 1u)) * params.keys;
        let at = row + min(four(key), vec4u(params.keys - 1u));
        scores += vec4f(position_bias[at.x], position_bias[at.y], position_bias[at.z], position_bias[at.w]);
    }
    return max(scores, vec4f(LOWEST));
}

/// From products to scores, turned so that column j is key j with the four queries.
fn score_block(tile: Place, query: u32, key: u32, products: mat4x4f) -> mat4x4f {
    let terms = key_terms(tile.sample, key);
    return transpose(mat4x4f(
        scores_of(tile.head, query, key, products[0], terms),
        scores_of(tile.head, query + 1u, key, products[1], terms),
        scores_of(tile.head, query + 2u, key, products[2], terms),
        scores_of(tile.head, query + 3u, key, products[3], terms),
    ));
}

/// exp(score − highest), and nothing for keys past the end.
fn weight_block(key: u32, scores: mat4x4f, highest: vec4f) -> mat4x4f {
    let kept = vec4f(four(key) < vec4u(params.keys));
    return mat4x4f(
        kept.x * exp(scores[0] - highest), kept.y * exp(scores[1] - highest),
        kept.z * exp(scores[2] - highest), kept.w * exp(scores[3] - highest),
    );
}

fn largest(block: mat4x4f) -> vec4f {
    return max(max(block[0], block[1]), max(block[2], block[3]));
}

fn sum(block: mat4x4f) -> vec4f {
    return block[0] + block[1] + block[2] + block[3];
}

fn scale_rows(block: mat4x4f, by: vec4f) -> mat4x4f {
    return mat4x4f(block[0] * by.x, block[1] * by.y, block[2] * by.z, block[3] * by.w);
}
