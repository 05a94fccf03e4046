//! Attention of every head at once, over columns of packed projections, with no matrix of scores in memory.

mod ways;

use ways::{Shape, Way, staged_columns};

use super::host::attention::{QUERIES, Queries};
use super::host::panels::Panels;
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Candidates, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::size::elements;
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("attention", "heads", "attend", "outer");

params! {
    /// Uniform of `attention.wgsl`.
    struct Params {
        base: u32,
        queries: u32,
        keys: u32,
        heads: u32,
        head_dim: u32,
        samples: u32,
        kv_samples: u32,
        slices: u32,
        q_width: u32,
        q_offset: u32,
        k_width: u32,
        k_offset: u32,
        v_width: u32,
        v_offset: u32,
        scale: f32,
    }
}

/// The columns `offset … offset + H·D` of a value: q, k and v may lie side by side in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// `[B, N, width]`.
    pub value: ValueId,
    /// The first column.
    pub offset: usize,
}

impl Columns {
    /// Fails where the value has not so many columns behind the first.
    pub(super) fn check(self, graph: &Graph, op: &str, columns: usize) -> Result<()> {
        let (value, start, end) = (graph.get(self.value), self.offset, self.offset.saturating_add(columns));
        match value.shape.last() {
            Some(&width) if end <= width => Ok(()),
            _ => Err(Error::shape(op, format!("{} {:?} has no columns {start}..{end}", value.name, value.shape))),
        }
    }
}

/// How [`attention`] scores keys.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// H.
    pub heads: usize,
    /// D: columns of each head.
    pub head_dim: usize,
    /// Multiplies q · k.
    pub scale: f32,
    /// `[B, Nk]`, added to the scores of a key: 0, or very low (−10000, −∞) where it is masked.
    pub key_bias: Option<ValueId>,
    /// `[H, Nq, Nk]`, added to the scores.
    pub position_bias: Option<ValueId>,
}

#[derive(Debug)]
struct Heads {
    q: Columns,
    k: Columns,
    v: Columns,
    out: ValueId,
    options: Attention,
}

/// softmax(scale · q · kᵀ + biases) · v for each head: `[B, Nq, H·D]`. k and v may have one sample for all.
pub fn attention(graph: &mut Graph, q: Columns, k: Columns, v: Columns, options: Attention) -> Result<ValueId> {
    let op = SHADER.name;
    let Attention { heads, head_dim, .. } = options;
    let [batch, queries, _] = graph.dims(op, q.value)?;
    let [kv_batch, keys, _] = graph.dims(op, k.value)?;
    let [v_batch, v_keys, _] = graph.dims(op, v.value)?;
    if (v_batch, v_keys) != (kv_batch, keys)
        || (kv_batch != 1 && kv_batch != batch)
        || [batch, queries, keys].contains(&0)
    {
        let shapes = [q, k, v].map(|columns| graph.shape(columns.value));
        return Err(Error::shape(op, format!("q, k and v have shapes {shapes:?}")));
    }
    if heads == 0 || !(1..=MAX_HEAD_DIM).contains(&head_dim) {
        return Err(Error::shape(op, format!("{heads} heads of {head_dim}; a head has 1 to {MAX_HEAD_DIM} columns")));
    }
    let columns = heads.saturating_mul(head_dim);
    for columns_of in [q, k, v] {
        columns_of.check(graph, op, columns)?;
    }
    if let Some(bias) = options.key_bias {
        graph.expect(op, bias, &[batch, keys])?;
    }
    if let Some(bias) = options.position_bias {
        graph.expect(op, bias, &[heads, queries, keys])?;
    }
    let out = graph.transient("attention", &[batch, queries, columns]);
    graph.push_audited(Heads { q, k, v, out, options });
    Ok(out)
}

/// One head of an autoencoder's middle block is this wide.
const MAX_HEAD_DIM: usize = 512;

impl Heads {
    /// Row length and first column of q, k and v.
    fn layout(&self, graph: &Graph) -> [[usize; 2]; 3] {
        [self.q, self.k, self.v].map(|of| [graph.shape(of.value)[2], of.offset])
    }

    fn shape(&self, graph: &Graph) -> Result<Shape> {
        let Attention { heads, head_dim, position_bias, .. } = self.options;
        let [samples, queries, _] = graph.dims(SHADER.name, self.out)?;
        let [_, keys, _] = graph.dims(SHADER.name, self.k.value)?;
        let vec4 = self.layout(graph).iter().flatten().chain([&head_dim]).all(|n| n % 4 == 0);
        Ok(Shape { samples, heads, head_dim, queries, keys, vec4, position_bias: position_bias.is_some() })
    }
}

impl Op for Heads {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Attention { key_bias, position_bias, .. } = self.options;
        let columns = [self.q, self.k, self.v].map(|columns| columns.value);
        vec![Pass::new().read_all(columns).read(key_bias).read(position_bias).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let shape = self.shape(graph)?;
        let Shape { samples, heads, head_dim, queries, keys, vec4, position_bias } = shape;
        let [kv_samples, _, _] = graph.dims(SHADER.name, self.k.value)?;
        let layout = self.layout(graph);
        let way = shape.way(caps);
        let (lanes, columns, slices) = match way {
            Way::Direct => (None, None, 1),
            Way::Broadcast { lanes } => (Some(lanes), None, 1),
            Way::Staged | Way::Wide => (None, Some(staged_columns(head_dim)), shape.slices()),
        };
        let rounds = way.rounds(keys, head_dim);
        if rounds as u64 > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("attention to {keys} keys of {head_dim} numbers"),
                limit: "rounds of this adapter's loops",
                needed: rounds as u64,
                available: caps.max_rounds,
            });
        }
        let params = Params {
            base: 0,
            queries: queries as u32,
            keys: keys as u32,
            heads: heads as u32,
            head_dim: head_dim as u32,
            samples: samples as u32,
            kv_samples: kv_samples as u32,
            slices: slices as u32,
            q_width: layout[0][0] as u32,
            q_offset: layout[0][1] as u32,
            k_width: layout[1][0] as u32,
            k_offset: layout[1][1] as u32,
            v_width: layout[2][0] as u32,
            v_offset: layout[2][1] as u32,
            scale: self.options.scale,
        };
        let dispatch = Dispatch::new(way.shader(), params.bytes(), caps.grid(shape.workgroups(way) as u64))
            .divisible()
            .entry(way.entry())
            .constants(lanes.map(|lanes| ("LANES", lanes)))
            .constant("VEC4", vec4)
            .constant("KEY_BIAS", self.options.key_bias.is_some())
            .constant("POSITION_BIAS", position_bias)
            .constants(columns.map(|columns| ("COLUMNS", columns as f64)));
        Ok(vec![dispatch])
    }

    fn candidates(&self, graph: &Graph, caps: &Caps) -> Option<Candidates> {
        let shape = self.shape(graph).ok()?;
        let (first, other) = shape.ways(caps);
        let variants = [first, other?].map(|way| way.entry().to_owned()).into();
        Some(Candidates { kernel: SHADER.name, case: shape.to_string(), variants })
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let Attention { heads, head_dim, scale, key_bias, position_bias } = self.options;
        let [samples, queries, columns] = graph.dims(SHADER.name, self.out)?;
        let [kv_samples, keys, _] = graph.dims(SHADER.name, self.k.value)?;
        let (q, k, v) = (host.numbers(self.q.value)?, host.numbers(self.k.value)?, host.numbers(self.v.value)?);
        let (key_bias, position_bias) = (host.optional(key_bias)?, host.optional(position_bias)?);
        let [q_width, k_width, v_width] = [self.q, self.k, self.v].map(|of| graph.get(of.value).matrix().1);
        // Keys and values of each sample and head, in the order in which tiles read them.
        let panels = host.pool().map(kv_samples * heads, |place| {
            let (first, column) = (place / heads * keys, place % heads * head_dim);
            let key = |key: usize| &k[(first + key) * k_width + self.k.offset + column..][..head_dim];
            let value = |key: usize| &v[(first + key) * v_width + self.v.offset + column..][..head_dim];
            (Panels::of_columns(head_dim, keys, key), Panels::of_rows(keys, head_dim, value))
        });
        let mut out = host.numbers_mut(self.out)?;
        // A thread takes some queries of one sample, all heads.
        let of_sample = out.chunks_mut(queries * columns).map(|sample| sample.chunks_mut(QUERIES * columns));
        let mut blocks: Vec<_> =
            of_sample.enumerate().flat_map(|(s, blocks)| blocks.enumerate().map(move |b| (s, b))).collect();
        debug_assert_eq!(blocks.len(), samples * queries.div_ceil(QUERIES));
        host.pool().chunks(&mut blocks, 1, |_, block| {
            for (sample, (index, out)) in block {
                let first = *index * QUERIES;
                for head in 0..heads {
                    let (keys_of, values_of) = &panels[*sample % kv_samples * heads + head];
                    let q_first = (*sample * queries + first) * q_width + self.q.offset + head * head_dim;
                    pulp::Arch::new().dispatch(Queries {
                        q: &q[q_first..],
                        q_width,
                        count: out.len() / columns,
                        keys,
                        head_dim,
                        panels: (keys_of, values_of),
                        scale,
                        key_bias: key_bias.as_ref().map(|bias| &bias[*sample * keys..][..keys]),
                        position_bias: position_bias.as_ref().map(|bias| &bias[(head * queries + first) * keys..]),
                        out: &mut out[head * head_dim..],
                        columns,
                    });
                }
            }
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Attention { heads, head_dim, scale, .. } = self.options;
        let (q_shape, k_shape) = (graph.shape(self.q.value), graph.shape(self.k.value));
        let (samples, queries, kv_samples, keys) = (q_shape[0], q_shape[1], k_shape[0], k_shape[1]);
        let head_of = |columns: Columns, row: usize, head: usize| {
            let (_, width) = graph.get(columns.value).matrix();
            &host.f32(columns.value)[row * width + columns.offset + head * head_dim..][..head_dim]
        };
        let mut out = Vec::with_capacity(samples * queries * heads * head_dim);
        for (sample, query, head) in triples(samples, queries, heads) {
            let kv_row = sample % kv_samples * keys;
            let q = head_of(self.q, sample * queries + query, head);
            let score = |key: usize| {
                let k = head_of(self.k, kv_row + key, head);
                let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                let bias = |id: Option<ValueId>, at: usize| id.map_or(0.0, |id| f64::from(host.f32(id)[at]));
                let key_bias = bias(self.options.key_bias, sample * keys + key);
                let position_bias = bias(self.options.position_bias, (head * queries + query) * keys + key);
                (dot * f64::from(scale) + key_bias + position_bias).max(f64::from(f32::MIN))
            };
            let scores: Vec<f64> = (0..keys).map(score).collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut sums = vec![0.0; head_dim];
            for (key, weight) in weights.iter().enumerate() {
                for (sum, &v) in sums.iter_mut().zip(head_of(self.v, kv_row + key, head)) {
                    *sum += weight / total * f64::from(v);
                }
            }
            out.extend(sums.iter().map(|&sum| sum as f32));
        }
        host.write(graph, self.out, out);
    }

    fn flops(&self, graph: &Graph) -> u64 {
        let keys = graph.shape(self.k.value)[1];
        elements(&[4, graph.get(self.out).len(), keys])
    }
}

/// All (a, b, c) below the given ends, the last fastest.
fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / c / b, i / c % b, i % c))
}

#[cfg(test)]
pub(super) mod tests;
