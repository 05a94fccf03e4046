//! The router of DiffCR and MoD (arXiv 2412.16822): how much each token of the stream needs the block ahead.

use super::host::math::dot;
use super::host::{rows_at_once, vectorised};
use super::{params, shader};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("router");

params! {
    /// Uniform of `router.wgsl`.
    struct Params { rows: u32, channels: u32 }
}

/// What [`router`] says of every row.
#[derive(Clone, Copy, Debug)]
pub struct Routing {
    /// x · w, `[B, N]`: what rows are selected by. Sigmoid keeps their order, but rounds large ones together.
    pub logits: ValueId,
    /// sigmoid(x · w), `[B, N]`: what a kept row's branch is scaled by.
    pub scores: ValueId,
}

#[derive(Debug)]
struct Router {
    x: ValueId,
    weight: ValueId,
    out: Routing,
}

/// Scores the rows of `x [B, N, C]` by `weight [1, C]`.
pub fn router(graph: &mut Graph, x: ValueId, weight: ValueId) -> Result<Routing> {
    let [batch, rows, channels] = graph.dims(SHADER.name, x)?;
    graph.expect(SHADER.name, weight, &[1, channels])?;
    let [logits, scores] = ["logits", "scores"].map(|name| graph.transient(name, &[batch, rows]));
    let out = Routing { logits, scores };
    graph.push(Router { x, weight, out });
    Ok(out)
}

impl Op for Router {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).read(self.weight).write(self.out.logits).write(self.out.scores)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (rows, channels) = graph.get(self.x).matrix();
        // As in `norm`: software adapters pay for every barrier.
        let (threads, lanes): (u32, u32) = match caps.class {
            AdapterClass::Software => (8, 1),
            AdapterClass::Hardware => (256, 32),
        };
        let params = Params { rows: rows as u32, channels: channels as u32 };
        let dispatch =
            Dispatch::new(&SHADER, params.bytes(), caps.grid(rows.div_ceil((threads / lanes) as usize) as u64));
        Ok(vec![dispatch.constant("THREADS", threads).constant("LANES", lanes)])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let (_, channels) = graph.get(self.x).matrix();
        let (x, weight) = (host.numbers(self.x)?, host.numbers(self.weight)?);
        let (mut logits, mut scores) = (host.numbers_mut(self.out.logits)?, host.numbers_mut(self.out.scores)?);
        let rows_at_once = rows_at_once(channels);
        host.pool().chunks(&mut logits, rows_at_once, |chunk, logits| {
            vectorised(|| {
                for (row, logit) in (chunk * rows_at_once..).zip(logits) {
                    *logit = dot(&x[row * channels..][..channels], &weight) as f32;
                }
            });
        });
        scores.iter_mut().zip(&*logits).for_each(|(score, &logit)| *score = sigmoid(logit.into()));
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (_, channels) = graph.get(self.x).matrix();
        let weight = host.f32(self.weight);
        let dot = |row: &[f32]| row.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
        let logits: Vec<f64> = host.f32(self.x).chunks_exact(channels).map(dot).collect();
        let scores = logits.iter().map(|&logit| sigmoid(logit)).collect();
        host.write(graph, self.out.scores, scores);
        host.write(graph, self.out.logits, logits.into_iter().map(|logit| logit as f32).collect());
    }

    fn flops(&self, graph: &Graph) -> u64 {
        (graph.get(self.x).len() as u64).saturating_mul(2)
    }
}

fn sigmoid(logit: f64) -> f32 {
    (1.0 / (1.0 + (-logit).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    const TOLERANCE: f64 = 2e-6;

    #[test]
    fn scores_rows_of_any_length() {
        for [batch, rows, channels] in [[1, 1, 1], [1, 7, 3], [2, 9, 33], [2, 5, 192], [3, 17, 1153]] {
            let mut case = Case::new();
            let x = case.input("x", &[batch, rows, channels]);
            let weight = case.input("weight", &[1, channels]);
            router(&mut case.graph, x, weight).unwrap();
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    #[test]
    fn extreme_logits_saturate_and_stay_finite() {
        let mut case = Case::new();
        let values = vec![-3.0e38, -1.0e5, -200.0, -90.0, -20.0, -0.0, 20.0, 90.0, 200.0, 1.0e5, 3.0e38];
        let x = case.input_of("x", &[1, values.len(), 1], values);
        let weight = case.input_of("weight", &[1, 1], vec![1.0]);
        let Routing { scores, .. } = router(&mut case.graph, x, weight).unwrap();
        case.agrees_on_every_class(TOLERANCE);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(scores)[0], 0.0);
        assert_eq!(host.f32(scores)[5], 0.5);
        assert_eq!(host.f32(scores)[10], 1.0);
    }

    #[test]
    fn refuses_a_weight_of_another_width() {
        let mut case = Case::new();
        let (x, weight) = (case.input("x", &[1, 4, 8]), case.input("weight", &[1, 9]));
        let error = router(&mut case.graph, x, weight).unwrap_err().to_string();
        assert!(error.contains("weight has shape [1, 9], expected [1, 8]"), "{error}");
    }
}
