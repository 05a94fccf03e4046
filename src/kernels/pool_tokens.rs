//! Fewer tokens of a grid: one for each square of them. So keys and values are compressed (KV token compression of
//! PixArt-Σ, arXiv 2403.04692).

use super::host::{rows_at_once, vectorised};
use super::{Columns, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Element, Graph, Host, Op, Pass, Shader, ValueId};
use crate::size::elements;
use crate::{Error, Grid, Result};

pub(super) static SHADER: Shader = shader!("pool_tokens");

params! {
    /// Uniform of `pool_tokens.wgsl`.
    struct Params {
        count: u32,
        channels: u32,
        down: u32,
        across: u32,
        tokens: u32,
        columns: u32,
        stride: u32,
        width: u32,
        offset: u32,
    }
}

/// Which squares [`pool_tokens`] pools, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// R: tokens along a square's side.
    pub stride: usize,
    /// What becomes of a square.
    pub kind: PoolKind,
}

/// What becomes of a square of tokens.
///
/// The authors' code has a sampling "ave" that is no average: it resizes by nearest neighbour, which takes the top left
/// token. Here that is [`PoolKind::Uniform`], as their "uniform"; [`PoolKind::Average`] is the mean, which is what
/// their convolution begins training as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Its top left token.
    Uniform,
    /// The mean of its tokens.
    Average,
    /// A weighted sum of its tokens, each channel by itself: a depthwise convolution of stride R without padding.
    Convolution {
        /// `[C, 1, R, R]`, in f32.
        weight: ValueId,
        /// `[C]`.
        bias: Option<ValueId>,
    },
}

#[derive(Debug)]
struct PoolTokens {
    x: Columns,
    channels: usize,
    grid: [usize; 2],
    how: Pooling,
    out: ValueId,
}

/// Pools the `channels` columns C of `x [B, h·w, M]`, whose rows are the tokens of a grid `[h, w]` in raster order:
/// `[B, ⌊h/R⌋·⌊w/R⌋, C]`. Sides that R does not divide lose the remainder, as in a convolution of stride R.
pub fn pool_tokens(
    graph: &mut Graph,
    x: Columns,
    channels: usize,
    grid: impl Into<Grid>,
    how: Pooling,
) -> Result<ValueId> {
    let grid = grid.into().sides();
    let op = SHADER.name;
    let [batch, tokens, _] = graph.dims(op, x.value)?;
    let [h, w] = grid;
    let value = graph.get(x.value);
    if tokens != h.saturating_mul(w) {
        return Err(Error::shape(op, format!("{} {:?} is no grid of {h}×{w} tokens", value.name, value.shape)));
    }
    if channels == 0 {
        return Err(Error::shape(
            op,
            format!("{} {:?} has no columns {}..{}", value.name, value.shape, x.offset, x.offset),
        ));
    }
    x.check(graph, op, channels)?;
    let stride = how.stride;
    if stride == 0 || h < stride || w < stride {
        return Err(Error::shape(op, format!("a stride of {stride} leaves no token of {h}×{w}")));
    }
    if let PoolKind::Convolution { weight, bias } = how.kind {
        graph.expect(op, weight, &[channels, 1, stride, stride])?;
        let weight = graph.get(weight);
        if weight.element != Element::F32 {
            return Err(Error::shape(op, format!("{} is {:?}, it takes weights in f32", weight.name, weight.element)));
        }
        bias.map_or(Ok(()), |bias| graph.expect(op, bias, &[channels]))?;
    }
    let out = graph.transient("pooled", &[batch, (h / stride) * (w / stride), channels]);
    graph.push(PoolTokens { x, channels, grid, how, out });
    Ok(out)
}

impl PoolTokens {
    /// Weight and bias, where it is a convolution.
    fn weights(&self) -> [Option<ValueId>; 2] {
        match self.how.kind {
            PoolKind::Convolution { weight, bias } => [Some(weight), bias],
            PoolKind::Uniform | PoolKind::Average => [None, None],
        }
    }
}

impl Op for PoolTokens {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x.value).read_all(self.weights()).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let Pooling { stride, kind } = self.how;
        let (count, [h, w], [weight, bias]) = (graph.get(self.out).len(), self.grid, self.weights());
        let whole = kind != PoolKind::Uniform;
        let rounds = if whole { (stride * stride + stride) as u64 } else { 0 };
        if rounds > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("pooling tokens at a stride of {stride}"),
                limit: "rounds of this adapter's loops",
                needed: rounds,
                available: caps.max_rounds,
            });
        }
        let params = Params {
            count: count as u32,
            channels: self.channels as u32,
            down: (h / stride) as u32,
            across: (w / stride) as u32,
            tokens: (h * w) as u32,
            columns: w as u32,
            stride: stride as u32,
            width: graph.get(self.x.value).matrix().1 as u32,
            offset: self.x.offset as u32,
        };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![
            dispatch.constant("WHOLE", whole).constant("WEIGHTED", weight.is_some()).constant("BIASED", bias.is_some()),
        ])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let (Pooling { stride, kind }, [h, w], channels) = (self.how, self.grid, self.channels);
        let (_, width) = graph.get(self.x.value).matrix();
        let [weight, bias] = self.weights();
        let (x, weight, bias) = (host.numbers(self.x.value)?, host.optional(weight)?, host.optional(bias)?);
        // A token of each square where only the first is taken.
        let taken = if kind == PoolKind::Uniform { 1 } else { stride };
        let mean = 1.0 / (taken * taken) as f64;
        let squares = (h / stride) * (w / stride);
        let rows_at_once = rows_at_once(channels);
        host.pool().chunks(&mut host.numbers_mut(self.out)?, rows_at_once * channels, |chunk, out| {
            vectorised(|| {
                let mut sums = vec![0.0; channels];
                for (row, out) in (chunk * rows_at_once..).zip(out.chunks_exact_mut(channels)) {
                    let (sample, square) = (row / squares, row % squares);
                    let (top, left) = (square / (w / stride) * stride, square % (w / stride) * stride);
                    match &bias {
                        Some(bias) => sums.iter_mut().zip(&**bias).for_each(|(sum, bias)| *sum = f64::from(*bias)),
                        None => sums.fill(0.0),
                    }
                    for (dy, dx) in pairs(taken, taken) {
                        let token = (sample * h + top + dy) * w + left + dx;
                        let token = &x[token * width + self.x.offset..][..channels];
                        match &weight {
                            Some(weight) => {
                                let taps = weight[dy * stride + dx..].iter().step_by(stride * stride);
                                let terms = token.iter().zip(taps).map(|(x, tap)| f64::from(*x) * f64::from(*tap));
                                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
                            }
                            None => sums.iter_mut().zip(token).for_each(|(sum, x)| *sum += f64::from(*x) * mean),
                        }
                    }
                    out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = *sum as f32);
                }
            });
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (Pooling { stride, kind }, [h, w]) = (self.how, self.grid);
        let (_, width) = graph.get(self.x.value).matrix();
        let x = host.f32(self.x.value);
        let mut out = Vec::with_capacity(graph.get(self.out).len());
        for sample in 0..graph.shape(self.out)[0] {
            let token = |row: usize, column: usize, c: usize| {
                f64::from(x[((sample * h + row) * w + column) * width + self.x.offset + c])
            };
            for (top, left) in pairs(h / stride, w / stride).map(|(y, x)| (y * stride, x * stride)) {
                for c in 0..self.channels {
                    let square = pairs(stride, stride).map(|(dy, dx)| token(top + dy, left + dx, c));
                    out.push(match kind {
                        PoolKind::Uniform => token(top, left, c),
                        PoolKind::Average => square.sum::<f64>() / (stride * stride) as f64,
                        PoolKind::Convolution { weight, bias } => {
                            let taps = &host.f32(weight)[c * stride * stride..][..stride * stride];
                            let bias = bias.map_or(0.0, |bias| f64::from(host.f32(bias)[c]));
                            bias + square.zip(taps).map(|(value, &tap)| value * f64::from(tap)).sum::<f64>()
                        }
                    } as f32);
                }
            }
        }
        host.write(graph, self.out, out);
    }

    fn flops(&self, graph: &Graph) -> u64 {
        match self.how.kind {
            PoolKind::Uniform | PoolKind::Average => 0,
            PoolKind::Convolution { .. } => elements(&[2, self.how.stride, self.how.stride, graph.get(self.out).len()]),
        }
    }
}

/// All (a, b) below the given ends, the last fastest.
fn pairs(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..a).flat_map(move |i| (0..b).map(move |j| (i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::reference;
    use crate::testing::{Case, gpu};
    use crate::weights::Format;

    /// Sums of up to a few hundred products.
    const TOLERANCE: f64 = 1e-6;

    /// Every kind of pooling at this stride.
    fn kinds(case: &mut Case, channels: usize, stride: usize) -> Vec<Pooling> {
        let weight = case.input(&format!("weight{stride}"), &[channels, 1, stride, stride]);
        let bias = Some(case.input("bias", &[channels]));
        let convolution = |bias| PoolKind::Convolution { weight, bias };
        let kinds = [PoolKind::Uniform, PoolKind::Average, convolution(None), convolution(bias)];
        kinds.map(|kind| Pooling { stride, kind }).to_vec()
    }

    fn whole(value: ValueId) -> Columns {
        Columns { value, offset: 0 }
    }

    #[test]
    fn grids_of_any_size() {
        for (batch, grid, channels) in [
            (1, [1, 1], 1),
            (2, [2, 2], 3),
            (1, [1, 9], 4),
            (3, [5, 4], 7),
            (2, [7, 5], 33),
            (2, [6, 10], 64),
            (1, [16, 16], 130),
        ] {
            let mut case = Case::new();
            let x = case.input("x", &[batch, grid[0] * grid[1], channels]);
            for stride in (1..=5).filter(|stride| grid.iter().all(|side| side >= stride)) {
                for how in kinds(&mut case, channels, stride) {
                    let out = pool_tokens(&mut case.graph, whole(x), channels, grid, how).unwrap();
                    let cells = (grid[0] / stride) * (grid[1] / stride);
                    assert_eq!(case.graph.shape(out), [batch, cells, channels]);
                }
            }
            case.agrees(TOLERANCE);
        }
    }

    #[test]
    fn columns_of_packed_projections() {
        let (batch, grid, channels) = (2, [6, 5], 12);
        let mut case = Case::new();
        let qkv = case.input("qkv", &[batch, 30, 3 * channels + 1]);
        for how in kinds(&mut case, channels, 2) {
            for offset in [0, channels, 2 * channels, 2 * channels + 1] {
                pool_tokens(&mut case.graph, Columns { value: qkv, offset }, channels, grid, how).unwrap();
            }
        }
        // Keys and values at once.
        let how = Pooling { stride: 2, kind: PoolKind::Average };
        pool_tokens(&mut case.graph, Columns { value: qkv, offset: channels }, 2 * channels, grid, how).unwrap();
        case.agrees(TOLERANCE);
    }

    #[test]
    fn strides_as_wide_as_the_grid() {
        let mut case = Case::new();
        let x = case.input("x", &[2, 17 * 19, 5]);
        for how in kinds(&mut case, 5, 17) {
            let out = pool_tokens(&mut case.graph, whole(x), 5, [17, 19], how).unwrap();
            assert_eq!(case.graph.shape(out), [2, 1, 5]);
        }
        case.agrees(TOLERANCE);
    }

    #[test]
    fn a_token_is_where_the_grid_has_it() {
        let mut case = Case::new();
        // Two channels: the token's number, and minus it. Of 3 × 5 tokens the last row and column are left over.
        let x = case.input_of("x", &[1, 15, 2], (0..15).flat_map(|i| [i as f32, -(i as f32)]).collect());
        let taps = vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]; // the right one above, twice the left one below
        let weight = case.input_of("weight", &[2, 1, 2, 2], taps);
        let bias = Some(case.input_of("bias", &[2], vec![100.0, 0.5]));
        for (kind, expected) in [
            (PoolKind::Uniform, [0.0, 0.0, 2.0, -2.0]),
            (PoolKind::Average, [3.0, -3.0, 5.0, -5.0]),
            (PoolKind::Convolution { weight, bias: None }, [1.0, -10.0, 3.0, -14.0]),
            (PoolKind::Convolution { weight, bias }, [101.0, -9.5, 103.0, -13.5]),
        ] {
            let how = Pooling { stride: 2, kind };
            let out = pool_tokens(&mut case.graph, whole(x), 2, [3, 5], how).unwrap();
            let host = reference::run(&case.graph, &case.stored).unwrap();
            assert_eq!(host.f32(out), expected, "{kind:?}");
        }
        case.agrees(TOLERANCE);
    }

    #[test]
    fn a_convolution_of_equal_weights_is_the_mean() {
        let mut case = Case::new();
        let x = case.input("x", &[2, 6 * 6, 8]);
        let weight = case.input_of("weight", &[8, 1, 3, 3], vec![1.0 / 9.0; 72]);
        let kinds = [PoolKind::Average, PoolKind::Convolution { weight, bias: None }];
        let [mean, convolved] =
            kinds.map(|kind| pool_tokens(&mut case.graph, whole(x), 8, [6, 6], Pooling { stride: 3, kind }).unwrap());
        let host = reference::run(&case.graph, &case.stored).unwrap();
        assert!(crate::tensor::relative_l2(host.f32(mean), host.f32(convolved)) < 1e-6);
        assert_eq!(case.graph.nodes()[0].op.flops(&case.graph), 0);
        assert_eq!(case.graph.nodes()[1].op.flops(&case.graph), 2 * 9 * 2 * 4 * 8);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let x = case.input("x", &[1, 12, 8]);
        let narrow = case.input("narrow", &[8, 1, 2, 3]);
        let flat = case.input("flat", &[4, 1, 2, 2]);
        let square = case.input("square", &[8, 1, 2, 2]);
        let packed = case.weight("packed", &[8, 1, 2, 2], Format::F16);
        let bias = case.input("bias", &[9]);
        let convolution = |weight, bias| PoolKind::Convolution { weight, bias };
        for (offset, channels, grid, stride, kind, message) in [
            (0, 8, [3, 5], 2, PoolKind::Average, "x [1, 12, 8] is no grid of 3×5 tokens"),
            (4, 8, [3, 4], 2, PoolKind::Average, "x [1, 12, 8] has no columns 4..12"),
            (4, 0, [3, 4], 2, PoolKind::Average, "has no columns 4..4"),
            (0, 8, [3, 4], 0, PoolKind::Uniform, "a stride of 0 leaves no token of 3×4"),
            (0, 8, [3, 4], 4, PoolKind::Uniform, "a stride of 4 leaves no token of 3×4"),
            (0, 8, [3, 4], 2, convolution(narrow, None), "narrow has shape [8, 1, 2, 3], expected [8, 1, 2, 2]"),
            (0, 8, [3, 4], 2, convolution(flat, None), "flat has shape [4, 1, 2, 2], expected [8, 1, 2, 2]"),
            (0, 8, [3, 4], 2, convolution(packed, None), "packed is Packed(F16), it takes weights in f32"),
            (0, 8, [3, 4], 2, convolution(square, Some(bias)), "bias has shape [9], expected [8]"),
        ] {
            let (x, how) = (Columns { value: x, offset }, Pooling { stride, kind });
            let error = pool_tokens(&mut case.graph, x, channels, grid, how).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn squares_beyond_an_adapters_loops_are_refused() {
        let caps = Caps { max_rounds: 65_535, ..gpu().caps().clone() };
        let mut case = Case::new();
        let x = case.graph.stored("x", &[1, 256 * 256, 1], Element::F32);
        for (kind, refused) in [(PoolKind::Average, true), (PoolKind::Uniform, false)] {
            pool_tokens(&mut case.graph, whole(x), 1, [256, 256], Pooling { stride: 256, kind }).unwrap();
            let recorded = case.graph.nodes().last().unwrap().op.record(&case.graph, &caps);
            assert_eq!(recorded.is_err(), refused);
            if let Err(error) = recorded {
                assert!(error.to_string().contains("pooling tokens at a stride of 256"), "{error}");
            }
        }
    }
}
