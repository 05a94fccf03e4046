//! Bipartite soft matching (ToMe for diffusion, arXiv 2303.17604): one token of each cell is a destination, every other
//! a source; the sources most like a destination join it.

use crate::graph::{Graph, ValueId};
use crate::kernels::{self, Destinations, Match, Norm, NormKind, ReadRows};
use crate::{Grid, Result};

/// The `joining` sources whose best destination is most like them join it, by the cosine of `tokens [B, N, C]`.
/// `position [B, cells]` says which token of each cell is its destination.
pub(super) fn bipartite(
    graph: &mut Graph,
    tokens: ValueId,
    position: ValueId,
    grid: Grid,
    stride: [usize; 2],
    joining: usize,
) -> Result<Destinations> {
    let sides = kernels::sides(graph, position, grid, stride)?;
    // x / ‖x‖, but for a factor √C that all have. No row of a model is so short that this epsilon counts.
    let unit = |graph: &mut Graph, index| {
        let rows = ReadRows::Map { index, weight: None };
        kernels::norm(graph, tokens, Norm { kind: NormKind::Rms, eps: 1e-30, rows, ..Norm::default() })
    };
    let (sources, destinations) = (unit(graph, sides.sources)?, unit(graph, sides.destinations)?);
    let Match { score, best } = kernels::best_match(graph, sources, destinations)?;
    let place = match joining {
        0 => None,
        joining => Some(kernels::select(graph, score, joining)?.place),
    };
    kernels::joins(graph, sides, best, place, grid.tokens())
}

/// The most sources that a grid has.
pub(super) fn sources(grid: Grid, stride: [usize; 2]) -> usize {
    grid.tokens() - (grid.rows / stride[0]) * (grid.columns / stride[1])
}

/// Every layer draws for itself.
pub(super) fn layer_seed(seed: u64, layer: usize) -> u32 {
    (seed ^ (seed >> 32)) as u32 ^ (layer as u32 + 1).wrapping_mul(0x9e37_79b9)
}
