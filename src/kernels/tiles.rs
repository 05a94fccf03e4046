//! How the matrix product of `linear.wgsl` is cut into workgroups on hardware: the one place that chooses.
//!
//! No tile is the best for every shape and GPU. A large tile reads each number fewer times, and a thread with a large
//! part of it finds more arithmetic for each number that it takes from workgroup memory. But few rows leave a large tile
//! partly empty, and few tiles leave a GPU partly idle. [`tiling`] weighs these by a small model of the time.

use std::fmt;

use crate::graph::Caps;

/// A tile of results that a workgroup computes: the `override` constants of `tiled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows of y.
    pub rows: usize,
    /// Columns of y.
    pub columns: usize,
    /// Steps of k that are staged in workgroup memory at a time.
    pub k_step: usize,
    /// Blocks of 4×4 results that a thread has, down and across: 1 or 2 each.
    pub blocks: [usize; 2],
}

impl Tile {
    const fn new(rows: usize, columns: usize, k_step: usize, blocks: [usize; 2]) -> Self {
        Self { rows, columns, k_step, blocks }
    }

    /// Threads of a workgroup.
    pub const fn threads(&self) -> usize {
        self.rows * self.columns / (16 * self.blocks[0] * self.blocks[1])
    }

    /// The same where x and W are staged as f16: twice the steps of k in the same memory.
    pub const fn in_halves(self) -> Self {
        Self { k_step: 32, ..self }
    }

    /// Bytes of workgroup memory where subgroups multiply blocks of 32×32 on matrix units: the tiles with their padding,
    /// a quarter of each block, and where rows begin.
    pub const fn bytes_in_units(&self) -> usize {
        2 * (self.k_step + 8) * (self.rows + self.columns) + self.rows * self.columns + 4 * self.rows
    }

    /// Bytes of workgroup memory.
    pub const fn workgroup_bytes(&self) -> usize {
        4 * self.k_step * (self.rows + self.columns)
    }

    /// Tiles of a product.
    pub fn count(&self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// What one step of k costs a thread, in multiply-adds.
    ///
    /// A thread loads a vec4 of x or W for each of its blocks down and across. Workgroup memory delivers one for about 16
    /// multiply-adds: one block alone (2 loads for 16) runs at half the speed, four (4 for 64) at the whole. What is
    /// staged of x and W costs about 4 instructions a number: loading, decoding, storing. These are estimates.
    fn step_cost(&self) -> f64 {
        let [down, across] = self.blocks;
        let (products, loads) = (16 * down * across, 16 * (down + across));
        let staged = (self.rows + self.columns) as f64 / self.threads() as f64;
        products.max(loads) as f64 + 4.0 * staged
    }
}

/// The tiles that are chosen from, large ones first. Tests hold each to the reference.
pub static PRODUCT_TILES: [Tile; 8] = [
    Tile::new(128, 64, 16, [2, 2]), // 128 threads
    Tile::new(128, 64, 16, [2, 1]), // 256
    Tile::new(64, 64, 16, [2, 2]),  // 64
    Tile::new(64, 64, 16, [2, 1]),  // 128
    Tile::new(64, 64, 16, [1, 1]),  // 256
    Tile::new(32, 64, 16, [2, 1]),  // 64
    Tile::new(32, 32, 32, [1, 1]),  // 64
    Tile::new(16, 64, 16, [1, 1]),  // 64
];

/// What a product multiplies: `[rows, k]` by `[columns, k]`, transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProductShape {
    /// Rows of y.
    pub rows: usize,
    /// Columns of y.
    pub columns: usize,
    /// Numbers that are multiplied and summed for a result.
    pub k: usize,
}

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// What a workgroup computes.
    pub tile: Tile,
    /// Parts of k that workgroups of their own sum, to be added by a second pass: 1 where there is none.
    pub slices: usize,
}

/// Partial sums take at most so many bytes.
const MOST_WORKSPACE: u64 = 8 << 20;
/// A slice has at least so many steps of k.
const LEAST_SLICE: usize = 128;
/// What a second pass costs by itself, in multiply-adds of a thread: some microseconds.
const PASS_COST: f64 = 4000.0;
/// What it costs for each number that it reads, or that is written for it: time in which a thread does so many.
const NUMBER_COST: f64 = 8.0;

impl Tiling {
    /// Workgroups of the product.
    pub fn workgroups(&self, shape: ProductShape) -> usize {
        self.tile.count(shape.rows, shape.columns) * self.slices
    }

    /// Steps of k in a slice: whole steps of staging.
    pub fn slice_k(&self, k: usize) -> usize {
        k.div_ceil(self.slices).next_multiple_of(self.tile.k_step)
    }

    /// Bytes of the partial sums: `[slices, rows, columns]`.
    pub fn workspace(&self, shape: ProductShape) -> u64 {
        match self.slices {
            1 => 0,
            slices => crate::size::bytes(&[slices, shape.rows, shape.columns]),
        }
    }

    /// The time that it is believed to take, in multiply-adds of a thread, on a GPU that `busy` threads fill.
    fn time(&self, shape: ProductShape, busy: f64) -> f64 {
        let load = (self.workgroups(shape) * self.tile.threads()) as f64 / busy;
        // Threads beyond what fills it wait for their turn; before that they are in each other's way a little, so that
        // of two cuts the one with less empty work is better.
        let turns = load.max(1.0) + load / 4.0;
        let product = turns * self.slice_k(shape.k) as f64 * self.tile.step_cost();
        match self.slices {
            1 => product,
            slices => {
                let numbers = ((2 * slices + 1) * shape.rows * shape.columns) as f64;
                product + PASS_COST + NUMBER_COST * numbers / busy
            }
        }
    }
}

/// Its name among a kernel's variants: rows, columns and steps of k of a tile, blocks of a thread, slices of k.
impl fmt::Display for Tiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tile: Tile { rows, columns, k_step, blocks: [down, across] }, slices } = self;
        write!(f, "{rows}x{columns}x{k_step} {down}x{across} /{slices}")
    }
}

/// Chooses how a product is cut on a GPU that was not measured. The same shape and capabilities always give the same
/// answer, and with it the same bytes.
pub fn tiling(shape: ProductShape, caps: &Caps) -> Tiling {
    tilings(shape, caps).first().copied().unwrap_or(Tiling { tile: PRODUCT_TILES[2], slices: 1 })
}

/// Every cut that is possible there, the one that is believed to be fastest first.
pub fn tilings(shape: ProductShape, caps: &Caps) -> Vec<Tiling> {
    tilings_of(PRODUCT_TILES, shape, caps)
}

/// The same for products in f16. Loads and products cost half as much there, so the same tiles come first.
pub fn tilings_in_halves(shape: ProductShape, caps: &Caps) -> Vec<Tiling> {
    tilings_of(PRODUCT_TILES.map(Tile::in_halves), shape, caps)
}

/// The same for matrix units of subgroups with so many lanes, 32 or 64: each has a block of 32×32 results.
pub fn tilings_in_units(shape: ProductShape, caps: &Caps, lanes: usize) -> Vec<Tiling> {
    let fits = |tile: &Tile| {
        let blocks = (tile.rows / 32) * (tile.columns / 32);
        let whole = tile.rows.is_multiple_of(32) && tile.columns.is_multiple_of(32);
        whole && tile.threads() == blocks * lanes && tile.bytes_in_units() <= caps.workgroup_memory as usize
    };
    tilings_of(PRODUCT_TILES.map(Tile::in_halves).into_iter().filter(fits), shape, caps)
}

fn tilings_of(tiles: impl IntoIterator<Item = Tile>, shape: ProductShape, caps: &Caps) -> Vec<Tiling> {
    let fits = |tile: &Tile| !has_few_registers(caps) || tile.blocks == [1, 1];
    let cuts = tiles.into_iter().filter(fits).flat_map(|tile| [1, 2, 4, 8].map(|slices| Tiling { tile, slices }));
    let mut possible: Vec<Tiling> = cuts.filter(|tiling| is_possible(tiling, shape, caps)).collect();
    let time = |tiling: &Tiling| tiling.time(shape, caps.busy_threads.into());
    // Among equals the one that stands first above: the sort keeps their order.
    possible.sort_by(|one, two| time(one).total_cmp(&time(two)));
    possible
}

/// Whether every slice has its share, and the partial sums have room.
fn is_possible(tiling: &Tiling, shape: ProductShape, caps: &Caps) -> bool {
    let room = MOST_WORKSPACE.min(caps.max_tensor_bytes());
    tiling.slices == 1
        || (shape.k >= tiling.slices * LEAST_SLICE
            && (tiling.slices - 1) * tiling.slice_k(shape.k) < shape.k
            && tiling.workspace(shape) <= room)
}

/// A kernel of ggml with as many results a thread spills on Adreno A7xx, and runs at a tenth of its speed
/// (github.com/ggml-org/llama.cpp/pull/27640). None was at hand to see whether ours does, so all of them get one block.
/// Browsers may hide the name: there it does not apply.
pub(super) fn has_few_registers(caps: &Caps) -> bool {
    caps.name.to_lowercase().contains("adreno")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(busy_threads: u32) -> Caps {
        Caps { busy_threads, ..Caps::minimum() }
    }

    fn shape(rows: usize, columns: usize, k: usize) -> ProductShape {
        ProductShape { rows, columns, k }
    }

    #[test]
    fn every_tile_is_what_the_shader_can_stage_and_every_device_has() {
        let least = Caps::minimum();
        for tile in &PRODUCT_TILES {
            let threads = tile.threads();
            assert!((64..=least.workgroup_threads as usize).contains(&threads), "{tile:?}");
            assert!(tile.workgroup_bytes() <= least.workgroup_memory as usize, "{tile:?}");
            for groups in [tile.rows / 4, tile.columns / 4] {
                // A thread stages the same four rows each time, and at most one block of each side.
                assert_eq!(threads % groups, 0, "{tile:?}");
                assert!(groups * tile.k_step / 4 <= threads, "{tile:?}");
            }
            assert!(tile.k_step % 4 == 0 && tile.blocks.iter().all(|n| (1..=2).contains(n)), "{tile:?}");
            // In f16 a block to stage has eight steps of k, and sixteen are multiplied at a time.
            let halves = tile.in_halves();
            assert!(halves.k_step % 16 == 0 && halves.workgroup_bytes() / 2 <= least.workgroup_memory as usize);
            for groups in [tile.rows / 4, tile.columns / 4] {
                assert!(groups * halves.k_step / 8 <= threads, "{tile:?}");
            }
        }
    }

    #[test]
    fn on_matrix_units_every_subgroup_has_a_block() {
        let (shape, large) = (shape(512, 1152, 1152), Caps { workgroup_memory: 32 << 10, ..Caps::minimum() });
        for lanes in [32, 64] {
            // Enough for the default limits: the usual way always finds one.
            for (caps, most) in [(&Caps::minimum(), 64), (&large, if lanes == 32 { 128 } else { 64 })] {
                let found = tilings_in_units(shape, caps, lanes);
                assert_eq!(found.iter().map(|tiling| tiling.tile.rows).max(), Some(most));
                for Tiling { tile, .. } in found {
                    assert_eq!(tile.threads() * 32 * 32, tile.rows * tile.columns * lanes);
                    assert!(tile.bytes_in_units() <= caps.workgroup_memory as usize);
                }
            }
        }
    }

    #[test]
    fn few_rows_take_small_tiles_and_many_take_large_ones() {
        let rows_of = |rows| tiling(shape(rows, 1152, 1152), &on(8192)).tile.rows;
        assert_eq!([rows_of(5), rows_of(16)], [16, 16]);
        assert!(rows_of(30) <= 32 && rows_of(64) <= 64);
        let large = tiling(shape(8192, 4608, 1152), &on(8192));
        assert_eq!((large.tile, large.slices), (PRODUCT_TILES[0], 1));
    }

    #[test]
    fn k_is_sliced_where_a_large_gpu_would_be_idle() {
        let small = shape(128, 384, 1536);
        let [one, many] = [256, 1 << 20].map(|busy| tiling(small, &on(busy)));
        assert_eq!(one.slices, 1);
        assert!(many.slices > 1, "{many:?}");
        // Not where a slice would be short, nor where the sums would not fit.
        assert_eq!(tiling(shape(128, 384, 200), &on(1 << 20)).slices, 1);
        let narrow = Caps { max_binding: 1 << 16, ..on(1 << 20) };
        assert_eq!(tiling(small, &narrow).slices, 1);
    }

    #[test]
    fn slices_share_out_all_of_k() {
        for (rows, columns, k) in [(16, 384, 1000), (77, 1152, 4608), (512, 1152, 1152), (5, 32, 100_000)] {
            for busy in [1, 4096, 1 << 16, 1 << 24] {
                let shape = shape(rows, columns, k);
                let tiling = tiling(shape, &on(busy));
                let (slices, slice_k) = (tiling.slices, tiling.slice_k(k));
                assert!(slices * slice_k >= k && (slices - 1) * slice_k < k, "{tiling:?}");
                assert!(slice_k % tiling.tile.k_step == 0 && tiling.workspace(shape) <= MOST_WORKSPACE, "{tiling:?}");
            }
        }
    }

    #[test]
    fn an_adreno_has_one_block_a_thread() {
        let caps = Caps { name: "Adreno (TM) 740".into(), ..on(4096) };
        for rows in [5, 64, 4096] {
            assert_eq!(tiling(shape(rows, 1152, 1152), &caps).tile.blocks, [1, 1]);
        }
    }
}
