//! Normalise-and-modulate, the first op of a sublayer: LayerNorm or RMSNorm of rows of the stream, read through a row
//! map, then the conditioning's scale and shift.

use super::chunks::{ChunkNumbers, Chunks};
use super::host::{math, rows_at_once, vectorised};
use super::rows::stream;
use super::{ReadRows, params, shader};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("norm");

params! {
    /// Uniform of `norm.wgsl`.
    struct Params {
        base: u32, rows: u32, compact: u32, stream: u32, sources: u32, channels: u32, share: f32, eps: f32,
        emb_stride: u32, emb_shift: u32, emb_scale: u32, table_shift: u32, table_scale: u32,
    }
}

/// How a row is normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormKind {
    /// (x − mean) / √(variance + eps).
    #[default]
    Layer,
    /// x / √(mean of squares + eps): T5.
    Rms,
}

/// Scale and shift from the conditioning: y·(1 + scale) + shift, each chunk being `emb` plus its row of `table`.
#[derive(Clone, Copy, Debug)]
pub struct Modulation {
    /// `[1 or B, M·C]`, or `[1 or B, C]` shared by all chunks.
    pub emb: ValueId,
    /// `[M, C]`, added.
    pub table: Option<ValueId>,
    /// Which chunk is the shift.
    pub shift: usize,
    /// Which chunk is the scale.
    pub scale: usize,
}

/// What [`norm`] does to a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Norm {
    /// LayerNorm or RMSNorm.
    pub kind: NormKind,
    /// Added to the variance.
    pub eps: f32,
    /// `[C]`.
    pub weight: Option<ValueId>,
    /// `[C]`.
    pub bias: Option<ValueId>,
    /// Applied last.
    pub modulation: Option<Modulation>,
    /// Which rows are read.
    pub rows: ReadRows,
}

#[derive(Debug)]
struct NormOp {
    x: ValueId,
    options: Norm,
    out: ValueId,
}

/// `(norm(x̂)·weight + bias)·(1 + scale) + shift` as `[B, k, C]`, where x̂ are the rows of `x [B, N, C]` (or `[N, C]`)
/// that the row map names.
pub fn norm(graph: &mut Graph, x: ValueId, options: Norm) -> Result<ValueId> {
    let op = SHADER.name;
    let [batch, rows, channels] = stream(graph, op, x)?;
    let (compact, _) = options.rows.extent(graph, op, batch, rows)?;
    for vector in [options.weight, options.bias].into_iter().flatten() {
        graph.expect(op, vector, &[channels])?;
    }
    if let Some(modulation) = options.modulation {
        modulation.chunks().check(graph, op, batch, channels, &[modulation.shift, modulation.scale])?;
    }
    let out = graph.transient("norm", &[batch, compact, channels]);
    graph.push_audited(NormOp { x, options, out });
    Ok(out)
}

impl Modulation {
    fn chunks(&self) -> Chunks {
        Chunks { emb: self.emb, table: self.table }
    }
}

impl NormOp {
    /// The row map's index and weight, the norm's weight and bias, the modulation's emb and table.
    fn optional(&self) -> [Option<ValueId>; 6] {
        let (index, blend) = match self.options.rows {
            ReadRows::All => (None, None),
            ReadRows::Map { index, weight } => (Some(index), weight),
        };
        let chunks = self.options.modulation.map(|m| m.chunks());
        [index, blend, self.options.weight, self.options.bias, chunks.map(|c| c.emb), chunks.and_then(|c| c.table)]
    }
}

impl Op for NormOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).read_all(self.optional()).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let Norm { kind, eps, modulation, rows, .. } = self.options;
        let [batch, stream, channels] = stream(graph, self.name(), self.x)?;
        let (compact, sources) = rows.extent(graph, self.name(), batch, stream)?;
        let (stride, shift, scale) = modulation.map_or((0, 0, 0), |m| {
            let start = |chunk| m.chunks().start(graph, channels, chunk);
            (m.chunks().stride(graph), start(m.shift), start(m.scale))
        });
        let params = Params {
            base: 0,
            rows: (batch * compact) as u32,
            compact: compact as u32,
            stream: stream as u32,
            sources: sources as u32,
            channels: channels as u32,
            share: 1.0 / sources as f32,
            eps,
            emb_stride: stride,
            emb_shift: shift,
            emb_scale: scale,
            table_shift: modulation.map_or(0, |m| (m.shift * channels) as u32),
            table_scale: modulation.map_or(0, |m| (m.scale * channels) as u32),
        };
        let optional = self.optional();
        let names = ["MAPPED", "BLENDED", "WEIGHTED", "BIASED", "MODULATED", "TABLED"];
        let given = names.into_iter().zip(optional.map(|id| id.is_some()));
        let (threads, lanes) = team(caps.class, channels);
        let dispatch = Dispatch::new(
            &SHADER,
            params.bytes(),
            caps.grid((batch * compact).div_ceil((threads / lanes) as usize) as u64),
        );
        Ok(vec![
            dispatch
                .divisible()
                .constants(given)
                .constant("CENTRED", kind == NormKind::Layer)
                .constant("THREADS", threads)
                .constant("LANES", lanes),
        ])
    }

    fn indices(&self, graph: &Graph) -> Vec<Indices> {
        let rows = graph.shape(self.x).iter().rev().nth(1);
        self.options.rows.indices(rows.copied().unwrap_or(1))
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let Norm { kind, eps, modulation, rows, .. } = self.options;
        let [batch, stream, channels] = stream(graph, self.name(), self.x)?;
        let (compact, sources) = rows.extent(graph, self.name(), batch, stream)?;
        let [index, blend, weight, bias, ..] = self.optional();
        let (x, index, blend) = (host.numbers(self.x)?, host.optional_words(index)?, host.optional(blend)?);
        let (weight, bias) = (host.optional(weight)?, host.optional(bias)?);
        let chunks = modulation.map(|m| ChunkNumbers::load(graph, host, m.chunks(), channels)).transpose()?;
        // `[B, 2, C]`: what each sample's rows are multiplied with, and what is added.
        let mut affine = Vec::new();
        for sample in 0..batch {
            let (start, ones) = (affine.len(), weight.as_deref());
            affine.extend((0..channels).map(|c| ones.map_or(1.0, |w| w[c])));
            affine.extend((0..channels).map(|c| bias.as_ref().map_or(0.0, |b| b[c])));
            if let (Some(m), Some(chunks)) = (modulation, &chunks) {
                let (scale, shift) = (chunks.of(sample, m.scale), chunks.of(sample, m.shift));
                for c in 0..channels {
                    affine[start + c] *= 1.0 + scale[c];
                    affine[start + channels + c] = affine[start + channels + c] * (1.0 + scale[c]) + shift[c];
                }
            }
        }
        let rows_at_once = rows_at_once(channels);
        host.pool().chunks(&mut host.numbers_mut(self.out)?, rows_at_once * channels, |chunk, out| {
            vectorised(|| {
                for (i, out) in out.chunks_exact_mut(channels).enumerate() {
                    let row = chunk * rows_at_once + i;
                    let source = |from: usize| &x[(row / compact * stream + from) * channels..][..channels];
                    match &index {
                        None => out.copy_from_slice(source(row % compact)),
                        Some(index) => {
                            out.fill(0.0);
                            for at in row * sources..(row + 1) * sources {
                                let share = blend.as_ref().map_or(1.0 / sources as f32, |blend| blend[at]);
                                let source = source(index[at] as usize);
                                out.iter_mut().zip(source).for_each(|(to, &from)| *to += share * from);
                            }
                        }
                    }
                    let (factor, added) = affine[row / compact * 2 * channels..][..2 * channels].split_at(channels);
                    normalise(out, kind, eps, factor, added);
                }
            });
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Norm { kind, eps, weight, bias, modulation, rows } = self.options;
        let (_, channels) = graph.get(self.x).matrix();
        let compact = graph.shape(self.out)[1];
        let mut out = Vec::new();
        for (row, x) in rows.reference(graph, host, self.x).chunks(channels.max(1)).enumerate() {
            let mean = match kind {
                NormKind::Layer => x.iter().map(|&v| f64::from(v)).sum::<f64>() / channels as f64,
                NormKind::Rms => 0.0,
            };
            let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / channels as f64;
            let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
            let chunk = |chunk: fn(&Modulation) -> usize| {
                modulation.map(|m| m.chunks().reference(graph, host, row / compact, channels, chunk(&m)))
            };
            let (scale, shift) = (chunk(|m| m.scale), chunk(|m| m.shift));
            for (c, &v) in x.iter().enumerate() {
                let y = ((f64::from(v) - mean) * inverse) as f32;
                let y = y * weight.map_or(1.0, |w| host.f32(w)[c]) + bias.map_or(0.0, |b| host.f32(b)[c]);
                out.push(y * (1.0 + scale.as_ref().map_or(0.0, |s| s[c])) + shift.as_ref().map_or(0.0, |s| s[c]));
            }
        }
        host.write(graph, self.out, out);
    }
}

/// Normalises a row, then multiplies and adds.
#[inline(always)]
fn normalise(row: &mut [f32], kind: NormKind, eps: f32, factor: &[f32], added: &[f32]) {
    let channels = row.len() as f32;
    let mut mean = 0.0;
    if kind == NormKind::Layer {
        // A mean that is large beside the deviations is rounded; what it leaves is a mean of its own.
        let near = math::sum(row, |v| v) / channels;
        row.iter_mut().for_each(|v| *v -= near);
        mean = math::sum(row, |v| v) / channels;
    }
    let variance = math::sum(row, |v| (v - mean) * (v - mean)) / channels;
    let inverse = 1.0 / (variance + eps).sqrt();
    for ((v, factor), added) in row.iter_mut().zip(factor).zip(added) {
        *v = (*v - mean) * inverse * factor + added;
    }
}

/// Threads of a workgroup, and how many of them share a row. Where a barrier is a switch between coroutines, rows are
/// best left to one thread each: on lavapipe [2048, 384] took 7 ms so, and 130 ms with 256 threads to a row.
fn team(class: AdapterClass, channels: usize) -> (u32, u32) {
    match class {
        AdapterClass::Software => (8, 1),
        AdapterClass::Hardware => {
            let lanes = channels.next_power_of_two().clamp(32, 256) as u32;
            (lanes, lanes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    // Sums of up to 8192 numbers in another order than the reference's.
    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn rows_of_any_length() {
        for [batch, rows, channels] in [[1, 1, 1], [1, 3, 2], [2, 5, 31], [1, 4, 257], [3, 2, 1152], [1, 2, 8192]] {
            for kind in [NormKind::Layer, NormKind::Rms] {
                let mut case = Case::new();
                let x = case.input("x", &[batch, rows, channels]);
                let plain = Norm { kind, eps: 1e-6, ..Norm::default() };
                norm(&mut case.graph, x, plain).unwrap();
                let weight = Some(case.input("weight", &[channels]));
                let bias = Some(case.input("bias", &[channels]));
                norm(&mut case.graph, x, Norm { weight, ..plain }).unwrap();
                norm(&mut case.graph, x, Norm { weight, bias, ..plain }).unwrap();
                case.agrees_on_every_class(TOLERANCE);
            }
        }
    }

    #[test]
    fn a_matrix_is_one_sample() {
        let mut case = Case::new();
        let x = case.input("x", &[5, 12]);
        let out = norm(&mut case.graph, x, Norm { eps: 1e-6, ..Norm::default() }).unwrap();
        assert_eq!(case.graph.shape(out), [1, 5, 12]);
        case.agrees_on_every_class(TOLERANCE);
    }

    #[test]
    fn a_large_mean_cancels_nothing() {
        for channels in [7, 384, 1153] {
            let mut case = Case::new();
            let values = case.random(3 * channels).iter().map(|v| 1000.0 + 0.01 * v).collect();
            let x = case.input_of("x", &[1, 3, channels], values);
            norm(&mut case.graph, x, Norm { eps: 1e-6, ..Norm::default() }).unwrap();
            case.agrees_on_every_class(1e-5);
        }
    }

    #[test]
    fn eps_counts_where_the_variance_is_tiny() {
        for kind in [NormKind::Layer, NormKind::Rms] {
            let mut case = Case::new();
            let values: Vec<f32> = case.random(2 * 64).iter().map(|v| 1e-3 * v).collect();
            let constant = case.input_of("constant", &[1, 1, 64], vec![0.5; 64]);
            let x = case.input_of("x", &[1, 2, 64], values);
            let two = [1e-6, 1e-5].map(|eps| {
                norm(&mut case.graph, constant, Norm { kind, eps, ..Norm::default() }).unwrap();
                norm(&mut case.graph, x, Norm { kind, eps, ..Norm::default() }).unwrap()
            });
            case.agrees_on_every_class(TOLERANCE);
            let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
            assert!(host.f32(two[0])[0].abs() > 2.0 * host.f32(two[1])[0].abs(), "eps has no effect");
        }
    }

    #[test]
    fn rows_are_read_through_maps() {
        let (batch, rows, channels) = (2, 6, 33);
        for (compact, sources) in [(1, 1), (6, 1), (4, 1), (3, 4)] {
            let mut case = Case::new();
            let x = case.input("x", &[batch, rows, channels]);
            let shape = [batch, compact, sources];
            // Out of order and repeated, and other rows in each sample.
            let named = (0..shape.iter().product::<usize>() as u32).map(|i| (i * i + 5) % rows as u32).collect();
            let index = case.indices("index", &shape, named);
            let weight = case.input("blend", &shape);
            for weight in [None, Some(weight)] {
                let rows = ReadRows::Map { index, weight };
                let out = norm(&mut case.graph, x, Norm { eps: 1e-6, rows, ..Norm::default() }).unwrap();
                assert_eq!(case.graph.shape(out), [batch, compact, channels]);
            }
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    #[test]
    fn chunks_modulate() {
        let (batch, rows, channels, chunks) = (3, 4, 37, 6);
        for (samples, width, tabled) in
            [(1, chunks, false), (batch, chunks, false), (1, 1, true), (batch, 1, true), (batch, chunks, true)]
        {
            let mut case = Case::new();
            let x = case.input("x", &[batch, rows, channels]);
            let emb = case.input("emb", &[samples, width * channels]);
            let table = tabled.then(|| case.input("table", &[chunks, channels]));
            for (shift, scale) in [(0, 1), (4, 3)] {
                let modulation = Some(Modulation { emb, table, shift, scale });
                norm(&mut case.graph, x, Norm { eps: 1e-6, modulation, ..Norm::default() }).unwrap();
            }
            let index = case.indices("index", &[batch, 2, 1], vec![3, 0, 1, 1, 2, 3]);
            let modulation = Some(Modulation { emb, table, shift: 3, scale: 5 });
            let rows = ReadRows::Map { index, weight: None };
            norm(&mut case.graph, x, Norm { eps: 1e-6, modulation, rows, ..Norm::default() }).unwrap();
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let x = case.input("x", &[2, 4, 8]);
        let weight = case.input("weight", &[9]);
        let emb = case.input("emb", &[3, 16]);
        let ragged = case.input("ragged", &[2, 12]);
        let good = case.input("good", &[2, 16]);
        let table = case.input("table", &[6, 8]);
        let index = case.indices("index", &[2, 5, 1], vec![0; 10]);
        let modulated = |emb, table, scale| Norm {
            modulation: Some(Modulation { emb, table, shift: 0, scale }),
            ..Norm::default()
        };
        for (options, message) in [
            (Norm { weight: Some(weight), ..Norm::default() }, "weight has shape [9], expected [8]"),
            (modulated(emb, None, 1), "emb has shape [3, 16], which is not 2 chunks of 8 for 2 samples"),
            (modulated(ragged, None, 0), "ragged has shape [2, 12], which is not 1 chunks of 8 for 2 samples"),
            (modulated(good, Some(table), 1), "good has shape [2, 16], which is not 6 chunks of 8 for 2 samples"),
            (modulated(good, None, 2), "there is no chunk 2 among 2"),
            (
                Norm { rows: ReadRows::Map { index, weight: None }, ..Norm::default() },
                "row map [2, 5, 1] does not fit 2 samples of 4 rows",
            ),
        ] {
            let error = norm(&mut case.graph, x, options).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    /// Rows of a map that come from a buffer may be anything: hosts write buffers.
    #[test]
    fn an_index_beyond_the_rows_stays_inside_the_stream() {
        let mut case = Case::new();
        let x = case.input("x", &[2, 5, 24]);
        let index =
            case.indices("index", &[2, 3, 2], (0..12).map(|i| if i % 2 == 0 { u32::MAX } else { 5 + i }).collect());
        norm(&mut case.graph, x, Norm { rows: ReadRows::Map { index, weight: None }, ..Norm::default() }).unwrap();
        let watched = crate::testing::gpu().watched();
        case.run(&watched);
        assert_eq!(pollster::block_on(watched.index_beyond()).unwrap(), None);
    }
}
