//! The last op of a sublayer: adds its gated branch to the stream, in place, written through a row map.

use super::chunks::{ChunkNumbers, Chunks};
use super::host::{rows_at_once, vectorised};
use super::rows::stream;
use super::{NOTHING, WriteRows, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("residual");

params! {
    /// Uniform of `residual.wgsl`.
    struct Params {
        base: u32, count: u32, stream: u32, compact: u32, channels: u32,
        emb_stride: u32, emb_start: u32, table_start: u32,
    }
}

/// A factor per sample and channel from the conditioning: a chunk of `emb`, plus the same row of `table`.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// `[1 or B, M·C]`, or `[1 or B, C]` shared by all chunks.
    pub emb: ValueId,
    /// `[M, C]`, added.
    pub table: Option<ValueId>,
    /// Which chunk is the gate.
    pub chunk: usize,
}

#[derive(Debug)]
struct Residual {
    x: ValueId,
    branch: ValueId,
    gate: Option<Gate>,
    rows: WriteRows,
    batch: usize,
    /// Rows of x per sample …
    stream: usize,
    /// … and of the branch.
    compact: usize,
    channels: usize,
}

/// `x[b, n] += weight[b, n]·gate[b]·branch[b, index[b, n]]` for `x [B, N, C]` and `branch [B, k, C]`; either may be
/// a matrix where B is 1. Without gate and map, `x` may have any shape that `branch` has too.
pub fn residual(graph: &mut Graph, x: ValueId, branch: ValueId, gate: Option<Gate>, rows: WriteRows) -> Result<()> {
    let op = SHADER.name;
    let plain = gate.is_none() && rows == WriteRows::All; // a sum, for which the shape does not matter
    let extent = |id| match graph.get(id).matrix() {
        (rows, channels) if plain => Ok([1, rows, channels]),
        _ => stream(graph, op, id),
    };
    let ([batch, stream, channels], [samples, compact, width]) = (extent(x)?, extent(branch)?);
    let fits = match rows {
        WriteRows::All if plain => same_shape(graph, x, branch),
        WriteRows::All | WriteRows::Scaled { .. } => [batch, stream, channels] == [samples, compact, width],
        WriteRows::Map { .. } => batch == samples && channels == width,
    };
    if !fits {
        let [x, branch] = [x, branch].map(|id| graph.get(id));
        let reason = format!("{} {:?} does not add to {} {:?}", branch.name, branch.shape, x.name, x.shape);
        return Err(Error::shape(op, reason));
    }
    rows.check(graph, op, batch, stream)?;
    if let Some(gate) = gate {
        gate.chunks().check(graph, op, batch, channels, &[gate.chunk])?;
    }
    graph.push(Residual { x, branch, gate, rows, batch, stream, compact, channels });
    Ok(())
}

/// Whether two values have one shape but for leading ones.
fn same_shape(graph: &Graph, a: ValueId, b: ValueId) -> bool {
    let [a, b] = [a, b].map(|id| graph.shape(id).iter().skip_while(|&&d| d == 1));
    a.eq(b)
}

impl Residual {
    /// The row map's index and weight, the gate's emb and table.
    fn optional(&self) -> [Option<ValueId>; 4] {
        [self.rows.index(), self.rows.weight(), self.gate.map(|g| g.emb), self.gate.and_then(|g| g.table)]
    }
}

impl Gate {
    fn chunks(&self) -> Chunks {
        Chunks { emb: self.emb, table: self.table }
    }
}

impl Op for Residual {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().update(self.x).read(self.branch).read_all(self.optional())]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let Self { stream, compact, channels, .. } = *self;
        let count = graph.get(self.x).len();
        let params = Params {
            base: 0,
            count: count as u32,
            stream: stream as u32,
            compact: compact as u32,
            channels: channels as u32,
            emb_stride: self.gate.map_or(0, |g| g.chunks().stride(graph)),
            emb_start: self.gate.map_or(0, |g| g.chunks().start(graph, channels, g.chunk)),
            table_start: self.gate.map_or(0, |g| (g.chunk * channels) as u32),
        };
        let optional = self.optional();
        let names = ["MAPPED", "WEIGHTED", "GATED", "TABLED"];
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.divisible().constants(names.into_iter().zip(optional.map(|id| id.is_some())))])
    }

    fn indices(&self, _graph: &Graph) -> Vec<Indices> {
        let mapped = self.rows.index().map(|index| Indices::below_or_nothing(index, self.compact));
        mapped.into_iter().collect()
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let Self { batch, stream, compact, channels, .. } = *self;
        let (index, weight) = (host.optional_words(self.rows.index())?, host.optional(self.rows.weight())?);
        let branch = host.numbers(self.branch)?;
        let gates = match self.gate {
            None => None,
            Some(gate) => {
                let chunks = ChunkNumbers::load(graph, host, gate.chunks(), channels)?;
                Some((0..batch).map(|sample| chunks.of(sample, gate.chunk)).collect::<Vec<_>>())
            }
        };
        let rows_at_once = rows_at_once(channels);
        host.pool().chunks(&mut host.numbers_mut(self.x)?, rows_at_once * channels, |chunk, x| {
            vectorised(|| {
                for (i, x) in x.chunks_exact_mut(channels).enumerate() {
                    let row = chunk * rows_at_once + i;
                    let sample = row / stream;
                    let from = match index.as_ref().map(|index| index[row]) {
                        None => row,
                        Some(NOTHING) => continue,
                        Some(at) => sample * compact + at as usize,
                    };
                    let weight = weight.as_ref().map_or(1.0, |weight| weight[row]);
                    let branch = &branch[from * channels..][..channels];
                    match &gates {
                        None => x.iter_mut().zip(branch).for_each(|(x, branch)| *x += weight * branch),
                        Some(gates) => {
                            let gated = x.iter_mut().zip(branch).zip(&gates[sample]);
                            gated.for_each(|((x, branch), gate)| *x += weight * (gate * branch));
                        }
                    }
                }
            });
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Self { batch, stream, compact, channels, .. } = *self;
        let mut x = host.f32(self.x).to_vec();
        for sample in 0..batch {
            let gate = self.gate.map(|g| g.chunks().reference(graph, host, sample, channels, g.chunk));
            for row in sample * stream..(sample + 1) * stream {
                let from_row = match self.rows.index().map(|index| host.u32(index)[row]) {
                    None => row,
                    Some(NOTHING) => continue,
                    Some(at) => sample * compact + at as usize,
                };
                let weight = self.rows.weight().map_or(1.0, |weight| host.f32(weight)[row]);
                let branch = &host.f32(self.branch)[from_row * channels..];
                for (c, x) in x[row * channels..][..channels].iter_mut().enumerate() {
                    *x += weight * (gate.as_ref().map_or(1.0, |gate| gate[c]) * branch[c]);
                }
            }
        }
        host.write(graph, self.x, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    // One fused multiply-add more or less.
    const TOLERANCE: f64 = 1e-6;

    #[test]
    fn adds_any_shape() {
        for shape in [vec![1], vec![7], vec![3, 5], vec![2, 3, 129], vec![2, 4, 5, 7]] {
            let mut case = Case::new();
            let (x, branch) = (case.input("x", &shape), case.input("branch", &shape));
            residual(&mut case.graph, x, branch, None, WriteRows::All).unwrap();
            residual(&mut case.graph, x, branch, None, WriteRows::All).unwrap();
            case.agrees(TOLERANCE);
        }
        let mut case = Case::new();
        let (x, branch) = (case.input("x", &[5, 8]), case.input("branch", &[1, 5, 8]));
        residual(&mut case.graph, x, branch, None, WriteRows::All).unwrap();
        case.agrees(TOLERANCE);
    }

    #[test]
    fn gates() {
        let (batch, rows, channels, chunks) = (3, 4, 37, 6);
        for (samples, width, tabled) in
            [(1, chunks, false), (batch, chunks, false), (1, 1, true), (batch, 1, true), (batch, chunks, true)]
        {
            let mut case = Case::new();
            let [x, branch] = ["x", "branch"].map(|name| case.input(name, &[batch, rows, channels]));
            let emb = case.input("emb", &[samples, width * channels]);
            let table = tabled.then(|| case.input("table", &[chunks, channels]));
            for chunk in [2, 5] {
                residual(&mut case.graph, x, branch, Some(Gate { emb, table, chunk }), WriteRows::All).unwrap();
            }
            case.agrees(TOLERANCE);
        }
    }

    #[test]
    fn writes_through_maps() {
        let (batch, rows, channels) = (2, 7, 33);
        for compact in [1, 3, 7] {
            let mut case = Case::new();
            let x = case.input("x", &[batch, rows, channels]);
            let branch = case.input("branch", &[batch, compact, channels]);
            let emb = case.input("emb", &[batch, 2 * channels]);
            // Out of order and repeated, other rows in each sample, every third row left alone.
            let named = |i: u32| if i % 3 == 2 { NOTHING } else { (i * i + 5) % compact as u32 };
            let index = case.indices("index", &[batch, rows], (0..(batch * rows) as u32).map(named).collect());
            let weight = case.input("weight", &[batch, rows]);
            let before = case.stored["x"].f32()[2 * channels];
            for weight in [None, Some(weight)] {
                for gate in [None, Some(Gate { emb, table: None, chunk: 1 })] {
                    residual(&mut case.graph, x, branch, gate, WriteRows::Map { index, weight }).unwrap();
                }
            }
            case.agrees(TOLERANCE);
            let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
            assert_eq!(host.f32(x)[2 * channels], before, "NOTHING changed a row");
            assert_ne!(host.f32(x)[0], case.stored["x"].f32()[0]);
        }
    }

    #[test]
    fn scales_row_for_row() {
        let mut case = Case::new();
        let [x, branch] = ["x", "branch"].map(|name| case.input(name, &[2, 5, 33]));
        let emb = case.input("emb", &[1, 66]);
        let weight = case.input("weight", &[2, 5]);
        for gate in [None, Some(Gate { emb, table: None, chunk: 1 })] {
            residual(&mut case.graph, x, branch, gate, WriteRows::Scaled { weight }).unwrap();
        }
        case.agrees(TOLERANCE);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let x = case.input("x", &[2, 4, 8]);
        let short = case.input("short", &[2, 3, 8]);
        let flat = case.input("flat", &[8, 8]);
        let emb = case.input("emb", &[2, 16]);
        let index = case.indices("index", &[2, 3], vec![0; 6]);
        for (branch, gate, rows, message) in [
            (short, None, WriteRows::All, "short [2, 3, 8] does not add to x [2, 4, 8]"),
            (flat, None, WriteRows::All, "flat [8, 8] does not add to x [2, 4, 8]"),
            (short, None, WriteRows::Map { index, weight: None }, "index has shape [2, 3], expected [2, 4]"),
            (x, Some(Gate { emb, table: None, chunk: 2 }), WriteRows::All, "there is no chunk 2 among 2"),
        ] {
            let error = residual(&mut case.graph, x, branch, gate, rows).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
