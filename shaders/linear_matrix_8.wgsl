// The matrix product on matrix units of 8×8 numbers, as Metal has them and Mesa's software adapter: see
// shared/matrix_tiles.wgsl. A block of 32×32 results is 4×4 matrices.

enable f16;
enable wgpu_cooperative_matrix;

const SIDE: u32 = 8u;               // of a matrix

alias Left = coop_mat8x8<f16, A>;   // eight rows of x by eight steps of k
alias Right = coop_mat8x8<f16, B>;  // the same steps by eight columns of y
alias Sum = coop_mat8x8<f32, C>;

/// Four matrices of W: the columns of a block.
struct Rights { a: Right, b: Right, c: Right, d: Right }

/// Eight rows of a block, and all of them.
struct Strip { a: Sum, b: Sum, c: Sum, d: Sum }
struct Sums { a: Strip, b: Strip, c: Strip, d: Strip }

fn left(at: u32) -> Left {
    return coopLoadT<Left>(&x_tile[at], STRIDE);
}

fn right(at: u32) -> Right {
    return coopLoad<Right>(&weight_tile[at], STRIDE);
}

fn plus(sums: Strip, x: Left, weights: Rights) -> Strip {
    return Strip(
        coopMultiplyAdd(x, weights.a, sums.a), coopMultiplyAdd(x, weights.b, sums.b),
        coopMultiplyAdd(x, weights.c, sums.c), coopMultiplyAdd(x, weights.d, sums.d),
    );
}

/// Adds the products of eight steps of k, from these places of the tiles on.
fn accumulate(sums: Sums, x_at: u32, weight_at: u32) -> Sums {
    let below = SIDE * STRIDE;
    let weights = Rights(
        right(weight_at), right(weight_at + below), right(weight_at + 2u * below), right(weight_at + 3u * below),
    );
    return Sums(
        plus(sums.a, left(x_at), weights), plus(sums.b, left(x_at + below), weights),
        plus(sums.c, left(x_at + 2u * below), weights), plus(sums.d, left(x_at + 3u * below), weights),
    );
}

fn put_strip(sums: Strip, at: u32) {
    coopStoreT(sums.a, &results[at], 32u);
    coopStoreT(sums.b, &results[at + 8u], 32u);
    coopStoreT(sums.c, &results[at + 16u], 32u);
    coopStoreT(sums.d, &results[at + 24u], 32u);
}

/// Puts a quarter of a block into `results`: eight rows.
fn put_quarter(sums: Sums, quarter: u32, at: u32) {
    switch quarter {
        case 0u: {
            put_strip(sums.a, at);
        }
        case 1u: {
            put_strip(sums.b, at);
        }
        case 2u: {
            put_strip(sums.c, at);
        }
        default: {
            put_strip(sums.d, at);
        }
    }
}

/// The row and column in the block of one of the quarter's results.
fn place(quarter: u32, i: u32) -> vec2u {
    return vec2u(quarter * 8u + i / 32u, i % 32u);
}
