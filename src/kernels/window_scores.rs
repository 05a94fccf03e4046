//! How alike the four tokens of each 2×2 window are: SDTM's structure stage (arXiv 2505.11707) merges the windows that
//! score highest. Only tokens of one window are compared, so nothing has the size of an N × N matrix.

use super::host::math::dot;
use super::host::{rows_at_once, vectorised};
use super::{Ages, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Grid, Result};

pub(super) static SHADER: Shader = shader!("window_scores");

params! {
    /// Uniform of `window_scores.wgsl`.
    struct Params { windows: u32, across: u32, sample: u32, channels: u32, weight: f32 }
}

/// The least that a norm counts as: torch's `cosine_similarity`.
const EPS: f64 = 1e-8;
/// Added to the mean age, which is 0 at first.
const AGE_EPS: f64 = 1e-6;

#[derive(Debug)]
struct WindowScores {
    tokens: ValueId,
    grid: [usize; 2],
    ages: Option<(Ages, f32)>,
    out: ValueId,
}

/// Rows and columns of 2×2 windows in a grid of tokens, whose sides must be even.
pub(super) fn windows(op: &str, [height, width]: [usize; 2]) -> Result<[usize; 2]> {
    if !height.is_multiple_of(2) || !width.is_multiple_of(2) || height == 0 || width == 0 {
        return Err(Error::shape(op, format!("the grid is {height}×{width}: its sides must be even")));
    }
    Ok([height / 2, width / 2])
}

/// The tokens of a 2×2 window of a grid of this width, row by row.
pub(super) fn tokens_of(window: usize, width: usize) -> [usize; 4] {
    let corner = window / (width / 2) * 2 * width + window % (width / 2) * 2;
    [corner, corner + 1, corner + width, corner + width + 1]
}

/// The score of each 2×2 window of `tokens [B, N, C]`, `[B, N/4]`: the mean of its 16 cosine similarities, self-pairs
/// included. With ages and a weight, + weight · the window's mean age / (the sample's mean age + 1e-6).
pub fn window_scores(
    graph: &mut Graph,
    tokens: ValueId,
    grid: impl Into<Grid>,
    ages: Option<(Ages, f32)>,
) -> Result<ValueId> {
    let grid = grid.into().sides();
    let op = SHADER.name;
    let [down, across] = windows(op, grid)?;
    let [batch, _, channels] = graph.dims(op, tokens)?;
    let count = grid[0].saturating_mul(grid[1]);
    graph.expect(op, tokens, &[batch, count, channels])?;
    if let Some((ages, _)) = ages {
        graph.expect(op, ages.ages, &[batch, count])?;
        graph.expect(op, ages.total, &[batch])?;
    }
    let out = graph.transient("window scores", &[batch, down * across]);
    graph.push(WindowScores { tokens, grid, ages, out });
    Ok(out)
}

impl Op for WindowScores {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let ages = self.ages.map(|(ages, _)| ages);
        let read = Pass::new().read(self.tokens).read(ages.map(|a| a.ages)).read(ages.map(|a| a.total));
        vec![read.write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [down, across] = windows(self.name(), self.grid)?;
        let windows = graph.get(self.out).len();
        let (_, channels) = graph.get(self.tokens).matrix();
        // As in `router`: software adapters pay for every barrier.
        let (threads, lanes): (u32, u32) = match caps.class {
            AdapterClass::Software => (8, 1),
            AdapterClass::Hardware => (256, 32),
        };
        let params = Params {
            windows: windows as u32,
            across: across as u32,
            sample: (down * across) as u32,
            channels: channels as u32,
            weight: self.ages.map_or(0.0, |(_, weight)| weight),
        };
        let dispatch =
            Dispatch::new(&SHADER, params.bytes(), caps.grid(windows.div_ceil((threads / lanes) as usize) as u64));
        Ok(vec![dispatch.constant("AGED", self.ages.is_some()).constant("THREADS", threads).constant("LANES", lanes)])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [_, rows, channels] = [0, 1, 2].map(|d| graph.shape(self.tokens)[d]);
        let x = host.numbers(self.tokens)?;
        let ages = match self.ages {
            Some((ages, weight)) => Some((host.numbers(ages.ages)?, host.numbers(ages.total)?, weight)),
            None => None,
        };
        let windows_at_once = rows_at_once(4 * channels);
        host.pool().chunks(&mut host.numbers_mut(self.out)?, windows_at_once, |chunk, out| {
            vectorised(|| {
                for (window, out) in (chunk * windows_at_once..).zip(out) {
                    let (sample, window) = (window / (rows / 4), window % (rows / 4));
                    let tokens = tokens_of(window, self.grid[1]);
                    let token = |at: usize| &x[(sample * rows + tokens[at]) * channels..][..channels];
                    let norms = [0, 1, 2, 3].map(|at| dot(token(at), token(at)).sqrt());
                    let alike = |(a, b): (usize, usize)| {
                        let both = if a == b { norms[a] * norms[a] } else { dot(token(a), token(b)) };
                        both / (norms[a].max(EPS) * norms[b].max(EPS))
                    };
                    let alone: f64 = (0..4).map(|a| alike((a, a))).sum();
                    let pairs: f64 = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)].map(alike).iter().sum();
                    let mut score = (alone + 2.0 * pairs) / 16.0;
                    if let Some((ages, total, weight)) = &ages {
                        let mean = tokens.map(|at| f64::from(ages[sample * rows + at])).iter().sum::<f64>() / 4.0;
                        let all = f64::from(total[sample]) / rows as f64;
                        score += f64::from(*weight) * mean / (all + AGE_EPS);
                    }
                    *out = score as f32;
                }
            });
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let [batch, rows, channels] = [0, 1, 2].map(|d| graph.shape(self.tokens)[d]);
        let mut scores = Vec::new();
        for sample in 0..batch {
            let token = |at: usize| &host.f32(self.tokens)[(sample * rows + at) * channels..][..channels];
            let dot = |a: usize, b: usize| {
                token(a).iter().zip(token(b)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            for window in 0..rows / 4 {
                let tokens = tokens_of(window, self.grid[1]);
                let norms = tokens.map(|at| dot(at, at).sqrt().max(EPS));
                let pairs = (0..16).map(|pair| (pair / 4, pair % 4));
                let alike = |(a, b): (usize, usize)| dot(tokens[a], tokens[b]) / (norms[a] * norms[b]);
                let mut score = pairs.map(alike).sum::<f64>() / 16.0;
                if let Some((Ages { ages, total }, weight)) = self.ages {
                    let ages = &host.f32(ages)[sample * rows..];
                    let mean = tokens.iter().map(|&at| f64::from(ages[at])).sum::<f64>() / 4.0;
                    let all = f64::from(host.f32(total)[sample]) / rows as f64;
                    score += f64::from(weight) * mean / (all + AGE_EPS);
                }
                scores.push(score as f32);
            }
        }
        host.write(graph, self.out, scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::ages;
    use crate::testing::Case;

    const TOLERANCE: f64 = 2e-6;

    /// Ages in this case's samples, and their sums.
    fn aged(case: &mut Case, batch: usize, rows: usize) -> Ages {
        let values: Vec<f32> = case.random(batch * rows).iter().map(|v| (v.abs() * 9.0).floor()).collect();
        let total = values.chunks(rows).map(|ages| ages.iter().sum()).collect();
        Ages { ages: case.input_of("ages", &[batch, rows], values), total: case.input_of("total", &[batch], total) }
    }

    #[test]
    fn grids_and_rows_of_any_size() {
        for (batch, grid, channels) in
            [(1, [2, 2], 1), (2, [2, 6], 3), (1, [8, 2], 33), (3, [4, 10], 192), (2, [6, 14], 1153), (1, [32, 18], 64)]
        {
            let mut case = Case::new();
            let tokens = case.input("tokens", &[batch, grid[0] * grid[1], channels]);
            let out = window_scores(&mut case.graph, tokens, grid, None).unwrap();
            assert_eq!(case.graph.shape(out), [batch, grid[0] * grid[1] / 4]);
            let ages = aged(&mut case, batch, grid[0] * grid[1]);
            window_scores(&mut case.graph, tokens, grid, Some((ages, 0.05))).unwrap();
            window_scores(&mut case.graph, tokens, grid, Some((ages, -3.0))).unwrap();
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    #[test]
    fn scores_by_the_angles_alone() {
        // Windows of equal tokens; of tokens at right angles; of opposite pairs; of one token and three that are
        // nothing.
        let (e, n) = ([3.0, 0.0, 0.0, 0.0], [0.0; 4]);
        let at = |axis: usize, length: f32| std::array::from_fn(|c| if c == axis { length } else { 0.0 });
        let minus = at(0, -5.0);
        let (above, below): ([[f32; 4]; 8], [[f32; 4]; 8]) = (
            [e, at(0, 0.5), at(0, 2.0), at(1, 2.0), e, minus, e, n],
            [e, at(0, 1e-3), at(2, 1e6), at(3, 1.0), minus, e, n, n],
        );
        let mut case = Case::new();
        let tokens = case.input_of("tokens", &[1, 16, 4], [above, below].concat().concat());
        let out = window_scores(&mut case.graph, tokens, [2, 8], None).unwrap();
        case.agrees_on_every_class(TOLERANCE);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        let expected = [1.0, 0.25, 0.0, 1.0 / 16.0];
        assert!(
            host.f32(out).iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6),
            "{:?}",
            host.f32(out)
        );
    }

    #[test]
    fn no_age_counts_nothing() {
        let mut case = Case::new();
        let tokens = case.input("tokens", &[2, 16, 5]);
        let none = Ages {
            ages: case.input_of("ages", &[2, 16], vec![0.0; 32]),
            total: case.input_of("total", &[2], vec![0.0; 2]),
        };
        ages(&mut case.graph, none, None).unwrap();
        let with = window_scores(&mut case.graph, tokens, [4, 4], Some((none, 0.05))).unwrap();
        let without = window_scores(&mut case.graph, tokens, [4, 4], None).unwrap();
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(with), host.f32(without));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let tokens = case.input("tokens", &[2, 40, 8]);
        let good = aged(&mut case, 2, 40);
        for (grid, ages, message) in [
            ([5, 8], None, "the grid is 5×8: its sides must be even"),
            ([8, 5], None, "the grid is 8×5: its sides must be even"),
            ([0, 8], None, "the grid is 0×8: its sides must be even"),
            ([4, 8], None, "tokens has shape [2, 40, 8], expected [2, 32, 8]"),
            ([4, 10], Some(Ages { ages: tokens, ..good }), "tokens has shape [2, 40, 8], expected [2, 40]"),
            ([4, 10], Some(Ages { total: good.ages, ..good }), "ages has shape [2, 40], expected [2]"),
        ] {
            let ages = ages.map(|ages| (ages, 0.05));
            let error = window_scores(&mut case.graph, tokens, grid, ages).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
