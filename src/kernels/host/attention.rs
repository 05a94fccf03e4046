//! Attention of some queries of one head, with the scores of a block of keys in memory at a time.

use super::panels::Panels;
use super::{math, product};

/// Queries that a thread takes at a time.
pub const QUERIES: usize = 64;
/// Keys whose scores it holds at a time: a multiple of every panel's width.
const KEYS: usize = 480;

/// Some queries of one head, on the processor.
pub struct Queries<'a> {
    /// From the first query's first number on …
    pub q: &'a [f32],
    /// … every so many numbers a query.
    pub q_width: usize,
    /// Queries, at most [`QUERIES`].
    pub count: usize,
    /// Keys of the sample.
    pub keys: usize,
    /// Columns of the head.
    pub head_dim: usize,
    /// Keys by columns, values by rows.
    pub panels: (&'a Panels, &'a Panels),
    /// Multiplies q · k.
    pub scale: f32,
    /// `[keys]`.
    pub key_bias: Option<&'a [f32]>,
    /// `[count, keys]`.
    pub position_bias: Option<&'a [f32]>,
    /// From the first query's first number on, every `columns` numbers a query.
    pub out: &'a mut [f32],
    /// Columns of all heads.
    pub columns: usize,
}

impl pulp::WithSimd for Queries<'_> {
    type Output = ();

    /// A softmax over a block of keys after the other: what was summed before is scaled to the highest score so far.
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self { q, q_width, count, keys, head_dim, panels, scale, key_bias, position_bias, out, columns } = self;
        let mut scores = vec![0.0; count * KEYS.min(keys)];
        let (mut sums, mut part) = (vec![0.0; count * head_dim], vec![0.0; count * head_dim]);
        let mut state = [(f32::MIN, 0.0, 1.0); QUERIES]; // highest score, total, what earlier sums are scaled by
        for from in (0..keys).step_by(KEYS) {
            let block = KEYS.min(keys - from);
            let query = |i: usize| &q[i * q_width..][..head_dim];
            product::block(simd, &query, count, panels.0, from, block, block, &mut scores, |_, _, _| {});
            for (i, (scores, state)) in scores.chunks_exact_mut(block).zip(&mut state[..count]).enumerate() {
                scores.iter_mut().for_each(|score| *score *= scale);
                let biases = [key_bias.map(|bias| &bias[from..]), position_bias.map(|bias| &bias[i * keys + from..])];
                for bias in biases.into_iter().flatten() {
                    scores.iter_mut().zip(bias).for_each(|(score, bias)| *score = (*score + bias).max(f32::MIN));
                }
                let highest = math::greatest(scores).max(state.0);
                scores.iter_mut().for_each(|score| *score = math::exp(*score - highest));
                let scaled = math::exp(state.0 - highest);
                *state = (highest, state.1 * scaled + math::sum(scores, |score| score), scaled);
            }
            let weights = |i: usize| &scores[i * block..][..block];
            let values = panels.1.slice(from..from + block);
            product::block(simd, &weights, count, &values, 0, head_dim, head_dim, &mut part, |_, _, _| {});
            for (i, (sums, part)) in sums.chunks_exact_mut(head_dim).zip(part.chunks_exact(head_dim)).enumerate() {
                let scaled = state[i].2;
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum = *sum * scaled + part);
            }
        }
        for (i, sums) in sums.chunks_exact(head_dim).enumerate() {
            let share = 1.0 / state[i].1;
            out[i * columns..][..head_dim].iter_mut().zip(sums).for_each(|(to, sum)| *to = sum * share);
        }
    }
}
