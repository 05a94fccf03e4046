//! The one matrix-sized work of ToMe (arXiv 2303.17604): which destination each source is most like. The matrix itself
//! is nowhere in memory.

use super::host::panels::Panels;
use super::host::product::small_product;
use super::host::{math, vectorised};
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::size::elements;
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("best_match", "outer");

params! {
    /// Uniform of `best_match.wgsl`.
    struct Params { base: u32, sources: u32, destinations: u32, channels: u32, samples: u32, slice: u32, slices: u32 }
}

/// What [`best_match`] finds for each source.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    /// `[B, Ns]`: the greatest dot product.
    pub score: ValueId,
    /// `[B, Ns]`: the destination it is with, an index into the list of them; of equals the first.
    pub best: ValueId,
}

#[derive(Debug)]
struct Matching {
    sources: ValueId,
    destinations: ValueId,
    /// Of each slice of the destinations, `[B, S, Ns]`; none where there is one.
    by_slice: Option<Match>,
    out: Match,
}

/// A slice is a multiple of these, which is what a workgroup holds at once.
const TILE: usize = 64;

/// Slices share the work out to all of a GPU; each leaves two numbers per source in memory.
const MOST_SLICES: usize = 16;

/// The dot product of each row of `sources [B, Ns, C]` with the row of `destinations [B, Nd, C]` where it is greatest.
pub fn best_match(graph: &mut Graph, sources: ValueId, destinations: ValueId) -> Result<Match> {
    let op = SHADER.name;
    let [batch, of, channels] = graph.dims(op, sources)?;
    let [to_batch, to, to_channels] = graph.dims(op, destinations)?;
    if (to_batch, to_channels) != (batch, channels) || [batch, of, to, channels].contains(&0) {
        let shapes = [sources, destinations].map(|side| graph.shape(side));
        return Err(Error::shape(op, format!("sources and destinations have shapes {shapes:?}")));
    }
    let slices = to.div_ceil(slice(to));
    let mut found = |name: &str, shape: &[usize]| Match {
        score: graph.transient(format!("{name}score"), shape),
        best: graph.transient_indices(format!("{name}best"), shape),
    };
    let by_slice = (slices > 1).then(|| found("best_match.", &[batch, slices, of]));
    let out = found("", &[batch, of]);
    graph.push_audited(Matching { sources, destinations, by_slice, out });
    Ok(out)
}

/// Destinations of a slice.
fn slice(destinations: usize) -> usize {
    TILE * destinations.div_ceil(TILE * MOST_SLICES)
}

impl Op for Matching {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let first = self.by_slice.unwrap_or(self.out);
        let find = Pass::new().read(self.sources).read(self.destinations).write(first.score).write(first.best);
        let combine = self.by_slice.map(|by_slice| {
            Pass::new().read(by_slice.score).read(by_slice.best).write(self.out.score).write(self.out.best)
        });
        [find].into_iter().chain(combine).collect()
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [batch, sources, channels] = graph.dims(SHADER.name, self.sources)?;
        let [_, destinations, _] = graph.dims(SHADER.name, self.destinations)?;
        let slice = slice(destinations);
        let slices = destinations.div_ceil(slice);
        let vec4 = channels.is_multiple_of(4);
        let (entry, tile, rounds) = match caps.class {
            // Elsewhere its unrolled loads would take a software adapter longer to compile than to run.
            AdapterClass::Software if vec4 => ("direct", 128, slice.div_ceil(32) * (2 + channels.div_ceil(4)) + 32),
            _ => ("tiled", TILE, slice.div_ceil(TILE) * (2 + 23 * channels.div_ceil(16)) + 16),
        };
        if rounds as u64 > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("{} to {destinations} rows of {channels} numbers", SHADER.name),
                limit: "rounds of this adapter's loops",
                needed: rounds as u64,
                available: caps.max_rounds,
            });
        }
        let params = Params {
            base: 0,
            sources: sources as u32,
            destinations: destinations as u32,
            channels: channels as u32,
            samples: batch as u32,
            slice: slice as u32,
            slices: slices as u32,
        };
        let dispatch = |entry, workgroups: usize| {
            Dispatch::new(&SHADER, params.bytes(), caps.grid(workgroups as u64)).divisible().entry(entry)
        };
        let find = dispatch(entry, batch * slices * sources.div_ceil(tile)).constant("VEC4", vec4);
        let combine = self.by_slice.map(|_| dispatch("combine", (batch * sources).div_ceil(64)).pass(1).light());
        Ok([find].into_iter().chain(combine).collect())
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [batch, sources, channels] = graph.dims(SHADER.name, self.sources)?;
        let [_, destinations, _] = graph.dims(SHADER.name, self.destinations)?;
        let (of, to) = (host.numbers(self.sources)?, host.numbers(self.destinations)?);
        let panels = host.pool().map(batch, |sample| {
            let row = |row: usize| &to[(sample * destinations + row) * channels..][..channels];
            Panels::of_columns(channels, destinations, row)
        });
        let (slice, blocks) = (slice(destinations), sources.div_ceil(TILE));
        let slices = destinations.div_ceil(slice);
        // `[slices, rows]` of each block of a sample's sources.
        let found = host.pool().map(batch * blocks, |block| {
            let (sample, first) = (block / blocks, block % blocks * TILE);
            let (rows, of) = (TILE.min(sources - first), &of[(sample * sources + first) * channels..]);
            let mut scores = vec![0.0; rows * destinations];
            let left = |row: usize| &of[row * channels..][..channels];
            small_product(rows, &left, &panels[sample], &mut scores);
            let mut best = Vec::with_capacity(slices * rows);
            for from in (0..destinations).step_by(slice) {
                best.extend(scores.chunks_exact(destinations).map(|scores| {
                    let scores = &scores[from..destinations.min(from + slice)];
                    let score = vectorised(|| math::greatest(scores));
                    // Of equals the first.
                    let place = scores.iter().position(|&other| other == score).unwrap_or(0);
                    (score, (from + place) as u32)
                }));
            }
            best
        });
        let (mut score, mut best) = (host.numbers_mut(self.out.score)?, host.words_mut(self.out.best)?);
        let mut sliced = match self.by_slice {
            Some(by_slice) => Some((host.numbers_mut(by_slice.score)?, host.words_mut(by_slice.best)?)),
            None => None,
        };
        for (block, found) in found.iter().enumerate() {
            let (sample, first) = (block / blocks, block % blocks * TILE);
            let rows = found.len() / slices;
            for (at, &(value, place)) in found.iter().enumerate() {
                let (slice, row) = (at / rows, first + at % rows);
                if let Some((scores, bests)) = &mut sliced {
                    let to = (sample * slices + slice) * sources + row;
                    (scores[to], bests[to]) = (value, place);
                }
                let to = sample * sources + row;
                if slice == 0 || value > score[to] {
                    (score[to], best[to]) = (value, place);
                }
            }
        }
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let &[batch, sources, channels] = graph.shape(self.sources) else { return };
        let destinations = graph.shape(self.destinations)[1];
        let (of, to) = (host.f32(self.sources), host.f32(self.destinations));
        let product =
            |of: &[f32], to: &[f32]| of.iter().zip(to).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32;
        // The best of the destinations `from` … `from + count` for each source, sample by sample.
        let best_of = |sample: usize, from: usize, count: usize| -> Vec<(f32, u32)> {
            let to = &to[(sample * destinations + from) * channels..][..count * channels];
            let of = &of[sample * sources * channels..][..sources * channels];
            let best = |of: &[f32]| {
                let products = to.chunks_exact(channels).map(|to| product(of, to)).zip(from as u32..);
                products.fold((f32::MIN, from as u32), |best, next| if next.0 > best.0 { next } else { best })
            };
            of.chunks_exact(channels).map(best).collect()
        };
        let slice = slice(destinations);
        let (mut by_slice, mut all) = (Vec::new(), Vec::new());
        for sample in 0..batch {
            for from in (0..destinations).step_by(slice) {
                by_slice.extend(best_of(sample, from, slice.min(destinations - from)));
            }
            all.extend(best_of(sample, 0, destinations));
        }
        for (found, values) in self.by_slice.map(|found| (found, by_slice)).into_iter().chain([(self.out, all)]) {
            let (scores, best) = values.into_iter().unzip();
            host.write(graph, found.score, scores);
            host.write_indices(graph, found.best, best);
        }
    }

    fn flops(&self, graph: &Graph) -> u64 {
        elements(&[2, graph.get(self.sources).len(), graph.shape(self.destinations)[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Data;
    use crate::testing::{Case, gpu, posing_as};

    /// f32 sums of up to a few hundred products, in another order than the reference's.
    const TOLERANCE: f64 = 3e-6;

    #[test]
    fn agrees_over_odd_sizes() {
        for (batch, sources, destinations, channels) in [
            (1, 1, 1, 1),
            (1, 3, 1, 64),
            (2, 5, 2, 3),
            (3, 63, 17, 37),
            (2, 64, 64, 16),
            (1, 65, 65, 20),
            (2, 130, 129, 72),
            (1, 192, 64, 384),
            (1, 7, 300, 130),
        ] {
            let mut case = Case::new();
            let of = case.input("of", &[batch, sources, channels]);
            let to = case.input("to", &[batch, destinations, channels]);
            best_match(&mut case.graph, of, to).unwrap();
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    /// More tiles than slices: 1025 destinations are nine slices of 128, the last with one; and the grid of a large
    /// picture.
    #[test]
    fn agrees_over_thousands() {
        for (sources, destinations, channels) in [(90, 1025, 20), (1500, 1024, 8), (200, 4100, 5), (40, 4100, 4)] {
            let mut case = Case::new();
            let of = case.input("of", &[2, sources, channels]);
            let to = case.input("to", &[2, destinations, channels]);
            best_match(&mut case.graph, of, to).unwrap();
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    /// Mesa's software adapter, were it asked for more rounds than it has, would be wrong without a word.
    #[test]
    fn agrees_to_the_last_round_that_an_adapter_allows() {
        let caps = Caps { class: AdapterClass::Software, max_rounds: 65_535, ..gpu().caps().clone() };
        for (channels, fits) in [(130_996, true), (131_000, false), (45_567, true), (45_569, false)] {
            let mut case = Case::new();
            let few = case.random(9973);
            let mut side = |name: &str, rows: usize| {
                let values = few.iter().copied().cycle().take(rows * channels).collect();
                case.input_of(name, &[1, rows, channels], values)
            };
            let (of, to) = (side("of", 1), side("to", 33));
            best_match(&mut case.graph, of, to).unwrap();
            assert_eq!(case.graph.nodes()[0].op.record(&case.graph, &caps).is_ok(), fits, "{channels}");
            if fits {
                // Sums of so many products lose a few digits.
                case.agrees_on(gpu().with_caps(caps.clone()), 3e-5);
            }
        }
    }

    #[test]
    fn of_equals_the_first_is_best() {
        // Small whole numbers, whose products are exact: few different scores, many equals.
        for (sources, destinations, channels) in [(70, 40, 2), (130, 200, 3), (65, 1100, 4), (65, 300, 8)] {
            let mut case = Case::new();
            let mut whole = |name: &str, rows: usize| {
                let values = case.random(2 * rows * channels).into_iter().map(|v| (2.0 * v).round()).collect();
                case.input_of(name, &[2, rows, channels], values)
            };
            let (of, to) = (whole("of", sources), whole("to", destinations));
            best_match(&mut case.graph, of, to).unwrap();
            case.agrees_on_every_class(1e-7);
        }
        // The same rows again and again: whichever is best, it is among the first of them.
        for (period, channels) in [(1, 32), (3, 33), (40, 32), (70, 8)] {
            let mut case = Case::new();
            let of = case.input("of", &[1, 100, channels]);
            let rows: Vec<f32> = case.random(period * channels).into_iter().cycle().take(1100 * channels).collect();
            let to = case.input_of("to", &[1, 1100, channels], rows);
            let Match { best, .. } = best_match(&mut case.graph, of, to).unwrap();
            case.agrees_on_every_class(TOLERANCE);
            let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
            assert!(host.u32(best).iter().all(|&best| best < period as u32));
        }
    }

    #[test]
    fn extreme_products() {
        for (scale, channels) in [(-1e9, 9), (-1.0, 12), (1e-9, 12), (1e9, 12)] {
            let mut case = Case::new();
            let mut side = |name: &str, rows: usize, scale: f32| {
                let values = case.random(rows * channels).into_iter().map(|v| v.abs() * scale).collect();
                case.input_of(name, &[1, rows, channels], values)
            };
            let (of, to) = (side("of", 70, scale), side("to", 150, scale.abs()));
            best_match(&mut case.graph, of, to).unwrap();
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    /// One number each, so every product is what f32 makes of it.
    #[test]
    fn zeros_of_either_sign_and_the_lowest_are_equals() {
        let mixed = vec![-1e18, -0.0, 0.0, 1e18, 1e18, -1e-18, -1e18, 1e17, 2.0];
        for (to, expected) in [(mixed, [3, 0, 0, 0, 3]), (vec![f32::MIN; 100], [0, 0, 0, 0, 0])] {
            for channels in [1, 4] {
                let mut case = Case::new();
                let mut side = |name: &str, numbers: &[f32]| {
                    let rows = numbers.iter().flat_map(|&v| std::iter::once(v).chain(vec![0.0; channels - 1]));
                    let rows = rows.collect();
                    case.input_of(name, &[1, numbers.len(), channels], rows)
                };
                let (of, to) = (side("of", &[1.0, -1.0, 0.0, -0.0, 0.5]), side("to", &to));
                let Match { best, .. } = best_match(&mut case.graph, of, to).unwrap();
                let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
                assert_eq!(host.u32(best), expected);
                for class in [AdapterClass::Software, AdapterClass::Hardware] {
                    let found = case.run(posing_as(class));
                    assert_eq!(found[&best], Data::U32(expected.to_vec()), "{class:?}, {channels} channels");
                }
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let of = case.input("of", &[2, 6, 8]);
        for (shape, message) in [
            ([1, 4, 8], "sources and destinations have shapes [[2, 6, 8], [1, 4, 8]]"),
            ([2, 4, 9], "sources and destinations have shapes [[2, 6, 8], [2, 4, 9]]"),
            ([2, 0, 8], "sources and destinations have shapes [[2, 6, 8], [2, 0, 8]]"),
        ] {
            let to = case.graph.stored(format!("to{shape:?}"), &shape, crate::graph::Element::F32);
            let error = best_match(&mut case.graph, of, to).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let mut graph = Graph::new();
        let [of, to] = [256, 131_072].map(|rows| graph.transient("side", &[1, rows, 1152]));
        best_match(&mut graph, of, to).unwrap();
        let caps = Caps { class: AdapterClass::Software, max_rounds: 65_535, ..Caps::minimum() };
        let error = graph.nodes()[0].op.record(&graph, &caps).unwrap_err().to_string();
        assert!(error.contains("best_match to 131072 rows of 1152 numbers"), "{error}");
    }
}
