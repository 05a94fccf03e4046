//! How ToMe's matching ends: the sources that are most like their destination join it (arXiv 2303.17604).

use super::rows::NOTHING;
use super::{Destinations, Sides, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("joins");

params! {
    /// Uniform of `joins.wgsl`.
    struct Params { count: u32, tokens: u32, sources: u32, destinations: u32 }
}

#[derive(Debug)]
struct Joins {
    sides: Sides,
    best: ValueId,
    place: Option<ValueId>,
    out: Destinations,
}

/// Where each of a sample's `tokens` goes: a source that `place [B, Ns]` gives a place (none: no source) to the
/// destination `best [B, Ns]`, an index into the list of destinations; every other token to itself. Destinations count
/// as merged also where nothing joins them, as in SDTM's detail stage.
pub fn joins(
    graph: &mut Graph,
    sides: Sides,
    best: ValueId,
    place: Option<ValueId>,
    tokens: usize,
) -> Result<Destinations> {
    let op = SHADER.name;
    let [batch, sources, _] = graph.dims(op, sides.sources)?;
    let [_, destinations, _] = graph.dims(op, sides.destinations)?;
    if sources.saturating_add(destinations) != tokens || destinations == 0 {
        let reason =
            format!("{sources} sources and {destinations} destinations are not the two sides of {tokens} tokens");
        return Err(Error::shape(op, reason));
    }
    graph.expect(op, sides.sources, &[batch, sources, 1])?;
    graph.expect(op, sides.destinations, &[batch, destinations, 1])?;
    [Some(best), place].into_iter().flatten().try_for_each(|id| graph.expect(op, id, &[batch, sources]))?;
    let out = Destinations {
        of: graph.transient_indices("destination", &[batch, tokens]),
        merged: graph.transient("merged", &[batch, tokens]),
    };
    graph.push(Joins { sides, best, place, out });
    Ok(out)
}

impl Op for Joins {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Self { sides, best, place, out } = *self;
        let read = Pass::new().read(sides.sources).read(sides.destinations).read(best).read(place);
        vec![read.write(out.of).write(out.merged)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let Self { sides, place, out, .. } = *self;
        let (batch, tokens) = graph.get(out.of).matrix();
        let [sources, destinations] = [sides.sources, sides.destinations].map(|list| graph.shape(list)[1] as u32);
        let params = Params { count: (batch * tokens) as u32, tokens: tokens as u32, sources, destinations };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid((batch * tokens).div_ceil(256) as u64));
        Ok(vec![dispatch.constant("SELECTED", place.is_some())])
    }

    fn indices(&self, graph: &Graph) -> Vec<Indices> {
        let Sides { sources, destinations } = self.sides;
        let tokens = graph.get(self.out.of).matrix().1;
        let mut all = vec![Indices::below(self.best, graph.shape(destinations)[1])];
        all.extend([sources, destinations].map(|side| Indices::below(side, tokens)));
        all
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Self { sides, best, place, out } = *self;
        let (batch, tokens) = graph.get(out.of).matrix();
        let (sources, destinations) = (graph.shape(sides.sources)[1], graph.shape(sides.destinations)[1]);
        let mut of: Vec<u32> = (0..batch).flat_map(|_| 0..tokens as u32).collect();
        let mut merged = vec![0.0; batch * tokens];
        for sample in 0..batch {
            let destinations = &host.u32(sides.destinations)[sample * destinations..][..destinations];
            for &token in destinations {
                merged[sample * tokens + token as usize] = 1.0;
            }
            for source in sample * sources..(sample + 1) * sources {
                if place.is_some_and(|place| host.u32(place)[source] != NOTHING) {
                    let token = sample * tokens + host.u32(sides.sources)[source] as usize;
                    of[token] = destinations[host.u32(best)[source] as usize];
                    merged[token] = 1.0;
                }
            }
        }
        host.write_indices(graph, out.of, of);
        host.write(graph, out.merged, merged);
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::kernels::sides;
    use crate::testing::Case;

    #[test]
    fn joins_any_selection() {
        for (grid, stride) in [([4, 4], [2, 2]), ([5, 7], [2, 2]), ([16, 18], [3, 2]), ([33, 20], [4, 4])] {
            let (cells, tokens) = (grid[0] / stride[0] * (grid[1] / stride[1]), grid[0] * grid[1]);
            let mut case = Case::new();
            let picks = (0..2 * cells).map(|_| case.rng.random_range(0..(stride[0] * stride[1]) as u32)).collect();
            let position = case.indices("position", &[2, cells], picks);
            let sides = sides(&mut case.graph, position, grid, stride).unwrap();
            let count = 2 * (tokens - cells);
            let best = (0..count).map(|_| case.rng.random_range(0..cells as u32)).collect();
            let best = case.indices("best", &[2, tokens - cells], best);
            let some = (0..count).map(|i| if i % 3 == 1 { i as u32 / 3 } else { NOTHING }).collect();
            let some = case.indices("some", &[2, tokens - cells], some);
            let all = case.indices("all", &[2, tokens - cells], (0..count as u32).collect());
            for place in [None, Some(some), Some(all)] {
                joins(&mut case.graph, sides, best, place, tokens).unwrap();
            }
            case.agrees_on_every_class(1e-6);
        }
    }

    #[test]
    fn a_source_goes_where_its_best_destination_is() {
        let mut case = Case::new();
        let lists = Sides {
            sources: case.indices("sources", &[1, 4, 1], vec![0, 2, 3, 5]),
            destinations: case.indices("destinations", &[1, 2, 1], vec![4, 1]),
        };
        let best = case.indices("best", &[1, 4], vec![1, 0, 0, 1]);
        let place = case.indices("place", &[1, 4], vec![0, NOTHING, 1, NOTHING]);
        let out = joins(&mut case.graph, lists, best, Some(place), 6).unwrap();
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.u32(out.of), [1, 1, 2, 4, 4, 5]);
        assert_eq!(host.f32(out.merged), [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
        case.agrees_on_every_class(1e-6);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let lists = Sides {
            sources: case.indices("sources", &[2, 3, 1], vec![0; 6]),
            destinations: case.indices("destinations", &[2, 1, 1], vec![3; 2]),
        };
        let best = case.indices("best", &[2, 3], vec![0; 6]);
        let four = case.indices("four", &[2, 4], vec![0; 8]);
        let one = case.indices("one", &[1, 1, 1], vec![3]);
        for (sides, best, place, tokens, message) in [
            (lists, best, None, 5, "3 sources and 1 destinations are not the two sides of 5 tokens"),
            (lists, four, None, 4, "four has shape [2, 4], expected [2, 3]"),
            (lists, best, Some(four), 4, "four has shape [2, 4], expected [2, 3]"),
            (Sides { destinations: one, ..lists }, best, None, 4, "one has shape [1, 1, 1], expected [2, 1, 1]"),
        ] {
            let error = joins(&mut case.graph, sides, best, place, tokens).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
