//! The two sides of ToMe's bipartite matching (arXiv 2303.17604): one destination in each cell of the grid, and all
//! other tokens as sources.

use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};
use crate::{Error, Grid, Result};

pub(super) static SHADER: Shader = shader!("sides");

params! {
    /// Uniform of `sides.wgsl`.
    struct Params {
        count: u32,
        columns: u32,
        tokens: u32,
        stride_down: u32,
        stride_across: u32,
        cells_down: u32,
        cells_across: u32,
    }
}

/// Lists of tokens, such as [`super::ReadRows::Map`] reads rows through. Each token is in one of them.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// `[B, Ns, 1]`: all tokens that are no destination, ascending; also those beyond the last whole cell.
    pub sources: ValueId,
    /// `[B, Nd, 1]`: one token per cell, in the order of the cells.
    pub destinations: ValueId,
}

#[derive(Debug)]
struct Split {
    position: ValueId,
    grid: [usize; 2],
    stride: [usize; 2],
    out: Sides,
}

/// Splits the tokens of a `grid` of rows and columns by the `position [B, cells]` of each cell's destination: 0 … K −
/// 1, row-major in a cell of `stride` tokens down and across, K in all.
pub fn sides(graph: &mut Graph, position: ValueId, grid: impl Into<Grid>, stride: [usize; 2]) -> Result<Sides> {
    let grid = grid.into().sides();
    let op = SHADER.name;
    let [batch, cells] = graph.dims(op, position)?;
    let [down, across] = whole_cells(grid, stride);
    let (tokens, all) = (grid[0].saturating_mul(grid[1]), down.saturating_mul(across));
    if all == 0 || stride == [1, 1] {
        let reason =
            format!("a grid of {grid:?} tokens does not split into sources and one destination per {stride:?}");
        return Err(Error::shape(op, reason));
    }
    if cells != all {
        let reason = format!("{cells} positions for {all} cells of {stride:?} in a grid of {grid:?}");
        return Err(Error::shape(op, reason));
    }
    let out = Sides {
        sources: graph.transient_indices("sources", &[batch, tokens - cells, 1]),
        destinations: graph.transient_indices("destinations", &[batch, cells, 1]),
    };
    graph.push(Split { position, grid, stride, out });
    Ok(out)
}

/// How many whole cells of `stride` a grid has, down and across.
fn whole_cells(grid: [usize; 2], stride: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| grid[axis].checked_div(stride[axis]).unwrap_or(0))
}

impl Op for Split {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.position).write(self.out.sources).write(self.out.destinations)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [down, across] = whole_cells(self.grid, self.stride);
        // The round that finds the loop at its end counts, too.
        let rounds = across as u64 + 1;
        if rounds > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("{} of {across} cells across", SHADER.name),
                limit: "rounds of this adapter's loops",
                needed: rounds,
                available: caps.max_rounds,
            });
        }
        let tokens = self.grid[0] * self.grid[1];
        let count = graph.shape(self.position)[0] * tokens;
        let params = Params {
            count: count as u32,
            columns: self.grid[1] as u32,
            tokens: tokens as u32,
            stride_down: self.stride[0] as u32,
            stride_across: self.stride[1] as u32,
            cells_down: down as u32,
            cells_across: across as u32,
        };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn indices(&self, _graph: &Graph) -> Vec<Indices> {
        vec![Indices::below(self.position, self.stride[0] * self.stride[1])]
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let ([rows, columns], [tall, wide]) = (self.grid, self.stride);
        let [down, across] = whole_cells(self.grid, self.stride);
        let (mut sources, mut destinations) = (Vec::new(), Vec::new());
        for position in host.u32(self.position).chunks_exact(down * across) {
            let mut is_source = vec![true; rows * columns];
            for (cell, &pick) in position.iter().enumerate() {
                let row = cell / across * tall + pick as usize / wide;
                let column = cell % across * wide + pick as usize % wide;
                is_source[row * columns + column] = false;
                destinations.push((row * columns + column) as u32);
            }
            sources.extend((0..rows * columns).filter(|&token| is_source[token]).map(|token| token as u32));
        }
        host.write_indices(graph, self.out.sources, sources);
        host.write_indices(graph, self.out.destinations, destinations);
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::testing::Case;

    #[test]
    fn splits_grids_of_any_shape() {
        for stride in [[2, 2], [1, 2], [2, 1], [3, 2], [4, 4], [1, 5]] {
            for grid in [[4, 8], [5, 7], [9, 5], [16, 16], [6, 41], [33, 20]] {
                let [down, across] = whole_cells(grid, stride);
                let cells = down * across;
                let mut case = Case::new();
                let any = (0..3 * cells).map(|_| case.rng.random_range(0..(stride[0] * stride[1]) as u32)).collect();
                let last = (stride[0] * stride[1] - 1) as u32;
                for (name, values) in [("any", any), ("first", vec![0; 3 * cells]), ("last", vec![last; 3 * cells])] {
                    let position = case.indices(name, &[3, cells], values);
                    let out = sides(&mut case.graph, position, grid, stride).unwrap();
                    assert_eq!(case.graph.shape(out.destinations), [3, cells, 1]);
                    assert_eq!(case.graph.shape(out.sources), [3, grid[0] * grid[1] - cells, 1]);
                }
                case.agrees_on_every_class(0.0);
            }
        }
    }

    #[test]
    fn tokens_outside_whole_cells_are_sources() {
        let mut case = Case::new();
        let position = case.indices("position", &[1, 2], vec![3, 1]);
        let out = sides(&mut case.graph, position, [3, 5], [2, 2]).unwrap();
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.u32(out.destinations), [6, 3]);
        assert_eq!(host.u32(out.sources), [0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14]);
        case.agrees_on_every_class(0.0);
    }

    #[test]
    fn refuses_what_does_not_split() {
        let mut case = Case::new();
        let position = case.indices("position", &[1, 4], vec![0; 4]);
        for (grid, stride, message) in [
            ([2, 2], [1, 1], "a grid of [2, 2] tokens does not split"),
            ([3, 8], [4, 2], "a grid of [3, 8] tokens does not split"),
            ([4, 4], [0, 2], "a grid of [4, 4] tokens does not split"),
            ([4, 6], [2, 2], "4 positions for 6 cells of [2, 2] in a grid of [4, 6]"),
        ] {
            let error = sides(&mut case.graph, position, grid, stride).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let wide = case.indices("wide", &[1, 70_000], vec![0; 70_000]);
        sides(&mut case.graph, wide, [1, 140_000], [1, 2]).unwrap();
        let caps = Caps { max_rounds: 65_535, ..Caps::minimum() };
        let error = case.graph.nodes()[0].op.record(&case.graph, &caps).unwrap_err().to_string();
        assert!(error.contains("sides of 70000 cells across"), "{error}");
    }
}
