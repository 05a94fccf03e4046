// The matrix product on matrix units of 16×16 numbers, as GPUs of NVIDIA and newer ones of AMD have them: see
// shared/matrix_tiles.wgsl. A block of 32×32 results is 2×2 matrices.

enable f16;
enable wgpu_cooperative_matrix;

const SIDE: u32 = 16u;               // of a matrix

alias Left = coop_mat16x16<f16, A>;  // sixteen rows of x by sixteen steps of k
alias Right = coop_mat16x16<f16, B>; // the same steps by sixteen columns of y
alias Sum = coop_mat16x16<f32, C>;

/// A block.
struct Sums { above_left: Sum, above_right: Sum, below_left: Sum, below_right: Sum }

/// Adds the products of sixteen steps of k, from these places of the tiles on.
fn accumulate(sums: Sums, x_at: u32, weight_at: u32) -> Sums {
    let above = coopLoadT<Left>(&x_tile[x_at], STRIDE);
    let below = coopLoadT<Left>(&x_tile[x_at + SIDE * STRIDE], STRIDE);
    let left = coopLoad<Right>(&weight_tile[weight_at], STRIDE);
    let right = coopLoad<Right>(&weight_tile[weight_at + SIDE * STRIDE], STRIDE);
    return Sums(
        coopMultiplyAdd(above, left, sums.above_left), coopMultiplyAdd(above, right, sums.above_right),
        coopMultiplyAdd(below, left, sums.below_left), coopMultiplyAdd(below, right, sums.below_right),
    );
}

/// Puts a quarter of a block into `results`: a matrix.
fn put_quarter(sums: Sums, quarter: u32, at: u32) {
    switch quarter {
        case 0u: {
            coopStoreT(sums.above_left, &results[at], SIDE);
        }
        case 1u: {
            coopStoreT(sums.above_right, &results[at], SIDE);
        }
        case 2u: {
            coopStoreT(sums.below_left, &results[at], SIDE);
        }
        default: {
            coopStoreT(sums.below_right, &results[at], SIDE);
        }
    }
}

/// The row and column in the block of one of the quarter's results.
fn place(quarter: u32, i: u32) -> vec2u {
    return vec2u(quarter / 2u, quarter % 2u) * SIDE + vec2u(i / SIDE, i % SIDE);
}
