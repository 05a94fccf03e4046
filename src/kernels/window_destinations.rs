//! From windows to destinations: SDTM's structure stage (arXiv 2505.11707) merges whole 2×2 windows.

use super::window_scores::{tokens_of, windows};
use super::{Destinations, NOTHING, params, shader};
use crate::Grid;
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("window_destinations");

params! {
    /// Uniform of `window_destinations.wgsl`.
    struct Params { count: u32, columns: u32, rows: u32 }
}

#[derive(Debug)]
struct WindowDestinations {
    place: ValueId,
    position: ValueId,
    grid: [usize; 2],
    out: Destinations,
}

/// Sends the tokens of every window that [`super::select`] kept (`place [B, N/4]` is not [`NOTHING`]) to the one that
/// [`super::pick`] picked (`position [B, N/4]`). The other windows' tokens stay alone.
pub fn window_destinations(
    graph: &mut Graph,
    place: ValueId,
    position: ValueId,
    grid: impl Into<Grid>,
) -> Result<Destinations> {
    let grid = grid.into().sides();
    let op = SHADER.name;
    let [down, across] = windows(op, grid)?;
    let [batch, _] = graph.dims(op, place)?;
    for windows in [place, position] {
        graph.expect(op, windows, &[batch, down.saturating_mul(across)])?;
    }
    let shape = [batch, grid[0] * grid[1]];
    let out =
        Destinations { of: graph.transient_indices("destination", &shape), merged: graph.transient("merged", &shape) };
    graph.push(WindowDestinations { place, position, grid, out });
    Ok(out)
}

impl Op for WindowDestinations {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.place).read(self.position).write(self.out.of).write(self.out.merged)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [height, width] = self.grid;
        let count = graph.get(self.out.of).len();
        let params = Params { count: count as u32, columns: width as u32, rows: (height * width) as u32 };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn indices(&self, _graph: &Graph) -> Vec<Indices> {
        vec![Indices::below(self.position, 4)]
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let [batch, rows] = [0, 1].map(|d| graph.shape(self.out.of)[d]);
        let mut of: Vec<u32> = (0..batch).flat_map(|_| 0..rows as u32).collect();
        let mut merged = vec![0.0; batch * rows];
        let windows = host.u32(self.place).iter().zip(host.u32(self.position)).enumerate();
        for (window, (_, &position)) in windows.filter(|(_, (place, _))| **place != NOTHING) {
            let sample = window / (rows / 4) * rows;
            let tokens = tokens_of(window % (rows / 4), self.grid[1]);
            for token in tokens {
                of[sample + token] = tokens[position as usize] as u32;
                merged[sample + token] = 1.0;
            }
        }
        host.write_indices(graph, self.out.of, of);
        host.write(graph, self.out.merged, merged);
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::kernels::{groups, select};
    use crate::testing::Case;

    #[test]
    fn grids_of_any_shape() {
        for (batch, grid) in [(1, [2usize, 2]), (2, [2, 6]), (3, [10, 2]), (2, [12, 20]), (2, [50, 64])] {
            let windows = grid[0] * grid[1] / 4;
            for kept in [1, windows.div_ceil(3), windows] {
                let mut case = Case::new();
                let scores = case.input("scores", &[batch, windows]);
                let place = select(&mut case.graph, scores, kept).unwrap().place;
                let positions = (0..batch * windows).map(|_| case.rng.random_range(0..4)).collect();
                let position = case.indices("position", &[batch, windows], positions);
                let out = window_destinations(&mut case.graph, place, position, grid).unwrap();
                // Three tokens fewer for each window, which is for `groups` to see.
                groups(&mut case.graph, out.of, 4 * windows - 3 * kept).unwrap();
                case.agrees(1e-7);
                let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
                assert_eq!(host.f32(out.merged).iter().sum::<f32>(), (batch * kept * 4) as f32);
            }
        }
    }

    #[test]
    fn a_window_goes_to_its_picked_token() {
        let mut case = Case::new();
        let place = case.indices("place", &[1, 4], vec![NOTHING, 0, 1, NOTHING]);
        let position = case.indices("position", &[1, 4], vec![3, 2, 1, 0]);
        let out = window_destinations(&mut case.graph, place, position, [4, 4]).unwrap();
        case.agrees(1e-7);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.u32(out.of), [0, 1, 6, 6, 4, 5, 6, 6, 9, 9, 10, 11, 9, 9, 14, 15]);
        let [y, n] = [1.0, 0.0];
        assert_eq!(host.f32(out.merged), [n, n, y, y, n, n, y, y, y, y, n, n, y, y, n, n]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let place = case.indices("place", &[2, 10], vec![0; 20]);
        let short = case.indices("short", &[1, 10], vec![0; 10]);
        for (place, position, grid, message) in [
            (place, place, [5, 8], "the grid is 5×8: its sides must be even"),
            (place, place, [4, 8], "place has shape [2, 10], expected [2, 8]"),
            (place, short, [4, 10], "short has shape [1, 10], expected [2, 10]"),
        ] {
            let error = window_destinations(&mut case.graph, place, position, grid).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
