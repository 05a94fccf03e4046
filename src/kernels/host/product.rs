//! The matrix product: tiles of a few rows by a few vectors of columns, summed in registers from the first number to
//! the last, so that an element's bytes do not depend on where in a tile it lies.
//!
//! The left side is never copied: a tile reads its rows where they are, through whatever map names them. The right
//! side comes in panels ([`Right`]).

use pulp::{Arch, Simd, WithSimd};

use super::super::Activation;
use super::panels::{Right, VECTORS, width};
use super::{math, tile};
use crate::graph::host::Pool;

/// What becomes of a sum: `activation(scale · sum + bias)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// By row.
    pub scale: Option<&'a [f32]>,
    /// By column.
    pub column_bias: Option<&'a [f32]>,
    /// By row.
    pub row_bias: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Activation,
}

impl Finish<'_> {
    /// Finishes numbers of one row, from `column` on.
    #[inline(always)]
    fn apply(&self, row: usize, column: usize, sums: &mut [f32]) {
        if let Some(scale) = self.scale {
            let scale = scale[row];
            sums.iter_mut().for_each(|sum| *sum *= scale);
        }
        if let Some(bias) = self.column_bias {
            sums.iter_mut().zip(&bias[column..]).for_each(|(sum, bias)| *sum += bias);
        }
        if let Some(bias) = self.row_bias {
            let bias = bias[row];
            sums.iter_mut().for_each(|sum| *sum += bias);
        }
        math::activate(self.activation, sums);
    }
}

/// Rows that a thread computes at a time: few enough that they stay in cache while all panels pass by, and enough that
/// reading a panel costs little beside computing with it.
const ROWS: usize = 64;
/// The same where each panel is first decoded.
const ROWS_PER_DECODING: usize = 512;

/// `out [rows, columns]` = finish(left · right), where `left` gives the rows of the left side.
pub fn product<'l>(
    pool: &Pool,
    rows: usize,
    left: impl Fn(usize) -> &'l [f32] + Sync,
    right: &impl Right,
    finish: Finish<'_>,
    out: &mut [f32],
) {
    let columns = right.columns();
    let arch = Arch::new();
    let most = if right.is_made_anew() { ROWS_PER_DECODING } else { ROWS };
    // Where there are rows for all threads, each takes some of them; else each takes some columns of all rows.
    if pool.threads() == 1 || rows >= most * pool.threads() {
        return pool.chunks(out, most * columns, |index, out| {
            let (first_row, rows) = (index * most, out.len() / columns);
            let left = |row: usize| left(first_row + row);
            arch.dispatch(Block { left, rows, right, from: 0, columns, finish, first_row, stride: columns, out });
        });
    }
    let share = columns.div_ceil(4 * pool.threads()).next_multiple_of(super::panels::full_width());
    let shares = pool.map(columns.div_ceil(share), |index| {
        let from = index * share;
        let stride = share.min(columns - from);
        let mut part = vec![0.0; rows * stride];
        let (out, left) = (&mut part[..], &left);
        arch.dispatch(Block { left, rows, right, from, columns: stride, finish, first_row: 0, stride, out });
        part
    });
    for (index, part) in shares.iter().enumerate() {
        let stride = share.min(columns - index * share);
        for (to, from) in out.chunks_exact_mut(columns).zip(part.chunks_exact(stride)) {
            to[index * share..][..stride].copy_from_slice(from);
        }
    }
}

/// The same on this thread, as part of a larger work.
pub fn small_product<'l>(rows: usize, left: &impl Fn(usize) -> &'l [f32], right: &impl Right, out: &mut [f32]) {
    let (columns, finish) = (right.columns(), Finish::default());
    Arch::new().dispatch(Block { left, rows, right, from: 0, columns, finish, first_row: 0, stride: columns, out });
}

/// A block of a product, computed by one thread.
struct Block<'a, L, R> {
    left: L,
    rows: usize,
    right: &'a R,
    /// The first column, a multiple of a panel's width …
    from: usize,
    /// … and how many.
    columns: usize,
    finish: Finish<'a>,
    /// What `finish` counts rows from.
    first_row: usize,
    /// From one row of `out` to the next.
    stride: usize,
    out: &'a mut [f32],
}

impl<'l, L: Fn(usize) -> &'l [f32], R: Right> WithSimd for Block<'_, L, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, rows, right, from, columns, finish, first_row, stride, out } = self;
        let finish = |row: usize, column: usize, sums: &mut [f32]| finish.apply(first_row + row, from + column, sums);
        block(simd, &left, rows, right, from, columns, stride, out, finish);
    }
}

/// Columns `from … from + columns` of a product, row `i` to `out[i · stride ..]`.
#[inline(always)]
pub fn block<'l, S: Simd>(
    simd: S,
    left: &impl Fn(usize) -> &'l [f32],
    rows: usize,
    right: &impl Right,
    from: usize,
    columns: usize,
    stride: usize,
    out: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]),
) {
    let tile_rows = tile::rows::<S>();
    let (lanes, mut scratch) = (S::F32_LANES, Vec::new());
    for column in (0..columns).step_by(VECTORS * lanes) {
        let width = width(column, columns, lanes);
        let panel = right.panel(from + column, width, &mut scratch);
        for row in (0..rows).step_by(tile_rows) {
            let out = &mut out[row * stride + column..];
            let extent = [tile_rows.min(rows - row), width.min(columns - column)];
            // Beyond the last row its neighbour is computed again, and not stored.
            let row_of = |i: usize| left((row + i).min(rows - 1));
            if tile_rows == 8 {
                match width / lanes {
                    1 => tile::eight::<S, 1>(simd, std::array::from_fn(row_of), panel, out, stride, extent),
                    2 => tile::eight::<S, 2>(simd, std::array::from_fn(row_of), panel, out, stride, extent),
                    _ => tile::eight::<S, VECTORS>(simd, std::array::from_fn(row_of), panel, out, stride, extent),
                }
            } else {
                match width / lanes {
                    1 => tile::four::<S, 1>(simd, std::array::from_fn(row_of), panel, out, stride, extent),
                    2 => tile::four::<S, 2>(simd, std::array::from_fn(row_of), panel, out, stride, extent),
                    _ => tile::four::<S, VECTORS>(simd, std::array::from_fn(row_of), panel, out, stride, extent),
                }
            }
            for i in 0..extent[0] {
                finish(row + i, column, &mut out[i * stride..][..extent[1]]);
            }
        }
    }
}
