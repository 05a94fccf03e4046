//! What tokens of SDTM's detail stage (arXiv 2505.11707) are ranked by, where attention is asked: the attention that a
//! token receives, and its age.

use super::{Ages, params, shader};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("priorities");

params! {
    /// Uniform of `priorities.wgsl`.
    struct Params { count: u32, tokens: u32, weight: f32 }
}

#[derive(Debug)]
struct Priorities {
    attention: ValueId,
    ages: Ages,
    weight: f32,
    out: ValueId,
}

/// `attention [B, N]` + weight · age / (the sample's mean age + 1e-6), `[B, N]`. Attention as
/// [`attention_columns`](super::attention_columns) gives it has a mean of 1, and so have ages in relation to their
/// mean.
pub fn priorities(graph: &mut Graph, attention: ValueId, ages: Ages, weight: f32) -> Result<ValueId> {
    let shape @ [batch, _] = graph.dims(SHADER.name, attention)?;
    graph.expect(SHADER.name, ages.ages, &shape)?;
    graph.expect(SHADER.name, ages.total, &[batch])?;
    let out = graph.transient("priorities", &shape);
    graph.push(Priorities { attention, ages, weight, out });
    Ok(out)
}

impl Op for Priorities {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Ages { ages, total } = self.ages;
        vec![Pass::new().read(self.attention).read(ages).read(total).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (count, (_, tokens)) = (graph.get(self.out).len(), graph.get(self.out).matrix());
        let params = Params { count: count as u32, tokens: tokens as u32, weight: self.weight };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (_, tokens) = graph.get(self.out).matrix();
        let (attention, ages, total) = (host.f32(self.attention), host.f32(self.ages.ages), host.f32(self.ages.total));
        let each = attention.iter().zip(ages).enumerate();
        let out = each
            .map(|(i, (attention, age))| attention + self.weight * age / (total[i / tokens] / tokens as f32 + 1e-6));
        let out = out.collect();
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    const TOLERANCE: f64 = 1e-6;

    /// Ages 0, 1, 2, … of so many tokens, times `scale`.
    fn aged(case: &mut Case, batch: usize, tokens: usize, scale: f32) -> Ages {
        let ages: Vec<f32> = (0..batch * tokens).map(|i| scale * ((i * 7) % 11) as f32).collect();
        let total = ages.chunks(tokens).map(|sample| sample.iter().sum()).collect();
        Ages { ages: case.input_of("ages", &[batch, tokens], ages), total: case.input_of("total", &[batch], total) }
    }

    #[test]
    fn attention_and_age() {
        for (batch, tokens) in [(1, 1), (1, 7), (3, 64), (2, 1000)] {
            for (scale, weight) in [(1.0, 0.05), (40.0, 1.0), (1.0, 0.0)] {
                let mut case = Case::new();
                let attention = case.input("attention", &[batch, tokens]);
                let ages = aged(&mut case, batch, tokens, scale);
                priorities(&mut case.graph, attention, ages, weight).unwrap();
                case.agrees(TOLERANCE);
            }
        }
    }

    /// Before anything was merged all ages are 0, and so is their mean.
    #[test]
    fn no_age_adds_nothing() {
        let mut case = Case::new();
        let attention = case.input("attention", &[2, 30]);
        let ages = aged(&mut case, 2, 30, 0.0);
        let out = priorities(&mut case.graph, attention, ages, 5.0).unwrap();
        case.agrees(TOLERANCE);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(out), case.stored["attention"].f32());
    }

    #[test]
    fn refuses_ages_of_other_tokens() {
        let mut case = Case::new();
        let attention = case.input("attention", &[2, 30]);
        let ages = aged(&mut case, 2, 31, 1.0);
        let error = priorities(&mut case.graph, attention, ages, 1.0).unwrap_err().to_string();
        assert!(error.contains("ages has shape [2, 31], expected [2, 30]"), "{error}");
    }
}
