//! How much attention each token receives, with no matrix of scores in memory. Methods that judge a token's worth by
//! the attention map rank tokens by it.

use super::host::panels::Panels;
use super::host::product::small_product;
use super::host::{math, vectorised};
use super::{Attention, Columns, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::size::elements;
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("attention_columns", "outer");

params! {
    /// Uniform of `attention_columns.wgsl`.
    struct Params {
        base: u32,
        queries: u32,
        keys: u32,
        heads: u32,
        head_dim: u32,
        samples: u32,
        q_width: u32,
        q_offset: u32,
        k_width: u32,
        k_offset: u32,
        scale: f32,
    }
}

#[derive(Debug)]
struct ColumnSums {
    q: Columns,
    k: Columns,
    options: Attention,
    /// `[B, H, Nq, 2]`: each query's highest score, and 1 / Σ exp(score − highest).
    totals: ValueId,
    /// `[B, H, Nk]`.
    by_head: ValueId,
    out: ValueId,
}

/// `[B, Nk]`: Σ over the queries of the weight softmax(scale · q · kᵀ + key bias) that each key has, in the mean over
/// heads. The weights of a sample add up to Nq.
pub fn attention_columns(graph: &mut Graph, queries: Columns, keys: Columns, options: Attention) -> Result<ValueId> {
    let (op, q, k) = (SHADER.name, queries, keys);
    let Attention { heads, head_dim, key_bias, position_bias, .. } = options;
    let [batch, queries, _] = graph.dims(op, q.value)?;
    let [k_batch, keys, _] = graph.dims(op, k.value)?;
    if k_batch != batch || [batch, queries, keys, heads, head_dim].contains(&0) {
        let shapes = [q, k].map(|columns| graph.shape(columns.value));
        let reason = format!("q and k have shapes {shapes:?}, for {heads} heads of {head_dim}");
        return Err(Error::shape(op, reason));
    }
    for columns_of in [q, k] {
        columns_of.check(graph, op, heads.saturating_mul(head_dim))?;
    }
    if let Some(bias) = key_bias {
        graph.expect(op, bias, &[batch, keys])?;
    }
    if position_bias.is_some() {
        return Err(Error::shape(op, "a position bias is not added here"));
    }
    let totals = graph.transient("attention_columns.totals", &[batch, heads, queries, 2]);
    let by_head = graph.transient("attention_columns.by_head", &[batch, heads, keys]);
    let out = graph.transient("attention_columns", &[batch, keys]);
    graph.push_audited(ColumnSums { q, k, options, totals, by_head, out });
    Ok(out)
}

impl Op for ColumnSums {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let inputs = Pass::new().read(self.q.value).read(self.k.value).read(self.options.key_bias);
        vec![
            inputs.clone().write(self.totals),
            inputs.read(self.totals).write(self.by_head),
            Pass::new().read(self.by_head).write(self.out),
        ]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let Attention { heads, head_dim, scale, key_bias, .. } = self.options;
        let [samples, queries, q_width] = graph.dims(SHADER.name, self.q.value)?;
        let [_, keys, k_width] = graph.dims(SHADER.name, self.k.value)?;
        let vec4 = [q_width, self.q.offset, k_width, self.k.offset, head_dim].iter().all(|n| n.is_multiple_of(4));
        let longest = queries.max(keys);
        let (entries, tile, group, rounds) = match caps.class {
            // Elsewhere its unrolled loads would take a software adapter longer to compile than to run.
            AdapterClass::Software if vec4 => {
                let rounds = longest.div_ceil(16) * (2 + head_dim.div_ceil(4)) + 32;
                (["direct_totals", "direct_columns"], 16, 8, rounds)
            }
            _ => {
                let rounds = longest.div_ceil(64) * (2 + 23 * head_dim.div_ceil(16)) + 16;
                (["tiled_totals", "tiled_columns"], 64, 1, rounds)
            }
        };
        if rounds as u64 > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("{} of {queries} queries and {keys} keys of {head_dim} numbers", SHADER.name),
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
            q_width: q_width as u32,
            q_offset: self.q.offset as u32,
            k_width: k_width as u32,
            k_offset: self.k.offset as u32,
            scale,
        };
        let dispatch = |entry, pass, workgroups: usize| {
            Dispatch::new(&SHADER, params.bytes(), caps.grid(workgroups as u64)).divisible().entry(entry).pass(pass)
        };
        let scores = |entry, pass, rows: usize| {
            let tiles = samples * heads * rows.div_ceil(tile);
            let dispatch = dispatch(entry, pass, tiles.div_ceil(group));
            dispatch.constant("VEC4", vec4).constant("KEY_BIAS", key_bias.is_some())
        };
        Ok(vec![
            scores(entries[0], 0, queries),
            scores(entries[1], 1, keys),
            dispatch("average", 2, (samples * keys).div_ceil(64)),
        ])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let Attention { heads, head_dim, scale, key_bias, .. } = self.options;
        let [samples, queries, q_width] = graph.dims(SHADER.name, self.q.value)?;
        let [_, keys, k_width] = graph.dims(SHADER.name, self.k.value)?;
        let (q, k, key_bias) = (host.numbers(self.q.value)?, host.numbers(self.k.value)?, host.optional(key_bias)?);
        // Each query's highest score and share, and each key's sum, of one sample and head.
        let found = host.pool().map(samples * heads, |place| {
            let (sample, column) = (place / heads, place % heads * head_dim);
            let key = |key: usize| &k[(sample * keys + key) * k_width + self.k.offset + column..][..head_dim];
            let panels = Panels::of_columns(head_dim, keys, key);
            let bias = key_bias.as_ref().map(|bias| &bias[sample * keys..][..keys]);
            let (mut totals, mut sums) = (Vec::with_capacity(2 * queries), vec![0.0; keys]);
            let mut scores = vec![0.0; QUERIES.min(queries) * keys];
            for first in (0..queries).step_by(QUERIES) {
                let rows = QUERIES.min(queries - first);
                let query =
                    |i: usize| &q[(sample * queries + first + i) * q_width + self.q.offset + column..][..head_dim];
                small_product(rows, &query, &panels, &mut scores);
                for scores in scores.chunks_exact_mut(keys).take(rows) {
                    vectorised(|| totals.extend(add_weights(scores, scale, bias, &mut sums)));
                }
            }
            (totals, sums)
        });
        for (to, (totals, _)) in host.numbers_mut(self.totals)?.chunks_exact_mut(2 * queries).zip(&found) {
            to.copy_from_slice(totals);
        }
        for (to, (_, sums)) in host.numbers_mut(self.by_head)?.chunks_exact_mut(keys).zip(&found) {
            to.copy_from_slice(sums);
        }
        for (out, heads) in host.numbers_mut(self.out)?.chunks_exact_mut(keys).zip(found.chunks(heads)) {
            out.fill(0.0);
            for (_, sums) in heads {
                out.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum / heads.len() as f32);
            }
        }
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Attention { heads, head_dim, scale, key_bias, .. } = self.options;
        let &[samples, queries, _] = graph.shape(self.q.value) else { return };
        let keys = graph.shape(self.k.value)[1];
        let head_of = |columns: Columns, row: usize, head: usize| {
            let (_, width) = graph.get(columns.value).matrix();
            &host.f32(columns.value)[row * width + columns.offset + head * head_dim..][..head_dim]
        };
        let (mut totals, mut by_head) = (Vec::new(), vec![0.0; samples * heads * keys]);
        for (place, columns) in by_head.chunks_exact_mut(keys).enumerate() {
            let (sample, head) = (place / heads, place % heads);
            for query in 0..queries {
                let q = head_of(self.q, sample * queries + query, head);
                let score = |key: usize| {
                    let k = head_of(self.k, sample * keys + key, head);
                    let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                    let bias = key_bias.map_or(0.0, |id| f64::from(host.f32(id)[sample * keys + key]));
                    (dot * f64::from(scale) + bias).max(f64::from(f32::MIN))
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let highest = scores.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
                totals.extend([highest as f32, (1.0 / total) as f32]);
                for (column, score) in columns.iter_mut().zip(scores) {
                    *column += (score - highest).exp() / total;
                }
            }
        }
        let mean = |sample: usize, key: usize| {
            (0..heads).map(|head| by_head[(sample * heads + head) * keys + key]).sum::<f64>() / heads as f64
        };
        let out = (0..samples * keys).map(|i| mean(i / keys, i % keys) as f32).collect();
        host.write(graph, self.totals, totals);
        host.write(graph, self.by_head, by_head.iter().map(|&sum| sum as f32).collect());
        host.write(graph, self.out, out);
    }

    /// Both passes multiply the queries with the keys.
    fn flops(&self, graph: &Graph) -> u64 {
        let Attention { heads, head_dim, .. } = self.options;
        let [samples, queries] = [0, 1].map(|axis| graph.shape(self.q.value)[axis]);
        elements(&[4, samples, queries, graph.shape(self.k.value)[1], heads, head_dim])
    }
}

/// Queries whose scores the processor holds at a time.
const QUERIES: usize = 64;

/// Adds the weights of one query to each key's sum; gives its highest score and 1 / Σ exp(score − highest).
#[inline(always)]
fn add_weights(scores: &mut [f32], scale: f32, bias: Option<&[f32]>, sums: &mut [f32]) -> [f32; 2] {
    scores.iter_mut().for_each(|score| *score *= scale);
    if let Some(bias) = bias {
        scores.iter_mut().zip(bias).for_each(|(score, bias)| *score = (*score + bias).max(f32::MIN));
    }
    let highest = math::greatest(scores);
    scores.iter_mut().for_each(|score| *score = math::exp(*score - highest));
    let share = 1.0 / math::sum(scores, |weight| weight);
    sums.iter_mut().zip(scores).for_each(|(sum, weight)| *sum += *weight * share);
    [highest, share]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::tests::{plain, whole};
    use crate::testing::{Case, gpu, posing_as};

    /// Sums of up to a few hundred weights; exp in f32 is good to a few units of 1e-7.
    const TOLERANCE: f64 = 1e-5;

    #[test]
    fn agrees_over_odd_sizes() {
        let mut case = Case::new();
        for (i, (batch, heads, queries, keys, dim)) in [
            (1, 1, 1, 1, 1),
            (1, 1, 2, 1, 64),
            (2, 1, 1, 33, 4),
            (1, 2, 33, 1, 3),
            (2, 3, 31, 40, 16),
            (1, 2, 70, 65, 72),
            (2, 2, 16, 120, 37),
            (1, 1, 140, 135, 100),
            (1, 2, 9, 33, 130),
            (1, 1, 34, 34, 512),
        ]
        .into_iter()
        .enumerate()
        {
            let q = whole(&mut case, &format!("q{i}"), [batch, queries, heads * dim]);
            let k = whole(&mut case, &format!("k{i}"), [batch, keys, heads * dim]);
            let out = attention_columns(&mut case.graph, q, k, plain(heads, dim)).unwrap();
            assert_eq!(case.graph.shape(out), [batch, keys]);
        }
        case.agrees_on_every_class(TOLERANCE);
    }

    #[test]
    fn agrees_over_columns_of_one_value() {
        let mut case = Case::new();
        for dim in [8, 9] {
            let value = case.input(&format!("qkv{dim}"), &[2, 77, 3 * 2 * dim]);
            let [q, k] = [0, 1].map(|i| Columns { value, offset: i * 2 * dim });
            let out = attention_columns(&mut case.graph, q, k, plain(2, dim)).unwrap();
            let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
            for sample in host.f32(out).chunks_exact(77) {
                assert!((sample.iter().sum::<f32>() - 77.0).abs() < 1e-3);
            }
        }
        case.agrees_on_every_class(TOLERANCE);
    }

    #[test]
    fn masks_of_every_depth_give_what_softmax_gives() {
        for masked in [-10000.0, f32::MIN, f32::NEG_INFINITY] {
            let mut case = Case::new();
            for dim in [8, 9] {
                let [q, k] = ["q", "k"].map(|name| whole(&mut case, &format!("{name}{dim}"), [3, 40, dim]));
                // The first sample keeps its last three keys, the second its first, the third none.
                let kept = |sample: usize, key: usize| [key >= 37, key < 1, false][sample];
                let mask = (0..3 * 40).map(|i| if kept(i / 40, i % 40) { 0.0 } else { masked }).collect();
                let key_bias = Some(case.input_of(&format!("mask{dim}"), &[3, 40], mask));
                let options = Attention { key_bias, ..plain(1, dim) };
                let out = attention_columns(&mut case.graph, q, k, options).unwrap();
                // Beside −10000 a score keeps three decimals in f32; the lowest scores are not for the harness to
                // square.
                let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
                for class in [AdapterClass::Software, AdapterClass::Hardware] {
                    let found = case.run(posing_as(class));
                    let crate::tensor::Data::F32(found) = &found[&out] else { panic!("no numbers") };
                    for (found, expected) in found.iter().zip(host.f32(out)) {
                        assert!((found - expected).abs() <= 2e-3 * expected.max(1.0), "{found} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn scores_of_thousands_do_not_overflow() {
        let mut case = Case::new();
        let [q, k] = ["q", "k"].map(|name| whole(&mut case, name, [1, 33, 16]));
        attention_columns(&mut case.graph, q, k, Attention { scale: 1000.0, ..plain(1, 16) }).unwrap();
        // Scores near 1e4 are rounded to 1e-3, and so are the weights.
        case.agrees_on_every_class(2e-3);
    }

    /// Mesa's software adapter, were it asked for more rounds than it has, would be wrong without a word.
    #[test]
    fn agrees_to_the_last_key_that_an_adapter_allows() {
        let caps = Caps { class: AdapterClass::Software, max_rounds: 65_535, ..gpu().caps().clone() };
        for (keys, fits) in [(52_400, true), (52_416, false)] {
            let mut case = Case::new();
            let few = case.random(9973);
            let mut long = |name: &str, rows: usize| {
                let values = few.iter().copied().cycle().take(rows * 72).collect();
                Columns { value: case.input_of(name, &[1, rows, 72], values), offset: 0 }
            };
            for (q, k) in [(long("q", 1), long("k", keys)), (long("long q", keys), long("one", 3))] {
                attention_columns(&mut case.graph, q, k, plain(1, 72)).unwrap();
            }
            for node in case.graph.nodes() {
                assert_eq!(node.op.record(&case.graph, &caps).is_ok(), fits);
            }
            if fits {
                case.agrees_on(gpu().with_caps(caps.clone()), TOLERANCE);
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let q = whole(&mut case, "q", [4, 10, 24]);
        let k = whole(&mut case, "k", [4, 12, 24]);
        let two = whole(&mut case, "two", [2, 12, 24]);
        let bias = case.input("bias", &[4, 10]);
        for (k, options, reason) in [
            (two, plain(2, 12), "q and k have shapes [[4, 10, 24], [2, 12, 24]], for 2 heads of 12"),
            (k, plain(0, 12), "for 0 heads of 12"),
            (k, plain(2, 13), "q [4, 10, 24] has no columns 0..26"),
            (Columns { offset: 1, ..k }, plain(2, 12), "k [4, 12, 24] has no columns 1..25"),
            (k, Attention { key_bias: Some(bias), ..plain(2, 12) }, "bias has shape [4, 10], expected [4, 12]"),
            (k, Attention { position_bias: Some(bias), ..plain(2, 12) }, "a position bias is not added here"),
        ] {
            let error = attention_columns(&mut case.graph, q, k, options).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
