// Attention for software adapters, where 4 divides D and all widths and offsets, without a position bias: a thread for 16
// queries, 16 keys at a time, the running result in `out`. The shader that includes it says how a thread comes by keys
// and values: `k_blocks` and `v_blocks`.

/// Four blocks: of four queries with 16 keys, or of 16 keys with four columns.
struct Four { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }

/// Adds products of four queries with 16 keys.
fn add_products(sums: Four, ks: Four, qs: mat4x4f) -> Four {
    return Four(
        sums.a + transpose(ks.a) * qs, sums.b + transpose(ks.b) * qs,
        sums.c + transpose(ks.c) * qs, sums.d + transpose(ks.d) * qs,
    );
}

/// Four queries between tiles of keys.
struct Softmax { highest: vec4f, total: vec4f, shrink: vec4f, weights: Four }

/// Takes the products with 16 more keys in.
fn advance(before: Softmax, tile: Place, query: u32, key: u32, products: Four) -> Softmax {
    let a = score_block(tile, query, key, products.a);
    let b = score_block(tile, query, key + 4u, products.b);
    let c = score_block(tile, query, key + 8u, products.c);
    let d = score_block(tile, query, key + 12u, products.d);
    let highest = max(before.highest, max(max(largest(a), largest(b)), max(largest(c), largest(d))));
    let shrink = exp(before.highest - highest);
    let weights = Four(
        weight_block(key, a, highest), weight_block(key + 4u, b, highest),
        weight_block(key + 8u, c, highest), weight_block(key + 12u, d, highest),
    );
    let sums = sum(weights.a) + sum(weights.b) + sum(weights.c) + sum(weights.d);
    return Softmax(highest, before.total * shrink + sums, shrink, weights);
}

/// out = out · shrink + weights · values, for four queries and four columns.
fn update(tile: Place, query: u32, key: u32, d: u32, now: Softmax, vs: Four) {
    let ws = now.weights;
    var rows = vs.a * transpose(ws.a) + vs.b * transpose(ws.b) + vs.c * transpose(ws.c) + vs.d * transpose(ws.d);
    for (var i = 0u; i < 4u; i++) {
        if query + i < params.queries {
            // What the first tile of keys finds there is nobody's.
            let at = (out_row(tile, query + i) + d) / 4u;
            out[at] = rows[i] + select(now.shrink[i] * out[at], vec4f(), key == 0u);
        }
    }
}

/// out = out / total.
fn finish(tile: Place, query: u32, total: vec4f) {
    for (var i = 0u; i < 4u && query + i < params.queries; i++) {
        let row = out_row(tile, query + i) / 4u;
        for (var at = row; at < row + params.head_dim / 4u; at++) {
            out[at] /= total[i];
        }
    }
}

/// All keys, for the tile's 16 queries.
fn attend(tile: Place, lane: u32) {
    let query = tile.query;
    var row0: Softmax;
    row0.highest = vec4f(LOWEST);
    var row1 = row0;
    var row2 = row0;
    var row3 = row0;
    for (var key = 0u; key < params.keys; key += 16u) {
        var products0 = Four(); // spelt out, as in attention.wgsl
        var products1 = Four();
        var products2 = Four();
        var products3 = Four();
        // Eight columns a round, for rounds are counted (see attention.rs); those past the head's last are zeros.
        for (var d = 0u; d < params.head_dim; d += 8u) {
            let ks = k_blocks(tile, key, d, lane);
            products0 = add_products(products0, ks, q_block(tile, query, d));
            products1 = add_products(products1, ks, q_block(tile, query + 4u, d));
            products2 = add_products(products2, ks, q_block(tile, query + 8u, d));
            products3 = add_products(products3, ks, q_block(tile, query + 12u, d));
            let next = k_blocks(tile, key, d + 4u, lane);
            products0 = add_products(products0, next, q_block(tile, query, d + 4u));
            products1 = add_products(products1, next, q_block(tile, query + 4u, d + 4u));
            products2 = add_products(products2, next, q_block(tile, query + 8u, d + 4u));
            products3 = add_products(products3, next, q_block(tile, query + 12u, d + 4u));
        }
        row0 = advance(row0, tile, query, key, products0);
        row1 = advance(row1, tile, query + 4u, key, products1);
        row2 = advance(row2, tile, query + 8u, key, products2);
        row3 = advance(row3, tile, query + 12u, key, products3);
        for (var d = 0u; d < params.head_dim; d += 4u) {
            let vs = v_blocks(tile, key, d, lane);
            update(tile, query, key, d, row0, vs);
            update(tile, query + 4u, key, d, row1, vs);
            update(tile, query + 8u, key, d, row2, vs);
            update(tile, query + 12u, key, d, row3, vs);
        }
    }
    finish(tile, query, row0.total);
    finish(tile, query + 4u, row1.total);
    finish(tile, query + 8u, row2.total);
    finish(tile, query + 12u, row3.total);
}
