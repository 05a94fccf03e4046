//! The age of a token: how often in a row it was merged. SDTM (arXiv 2505.11707) prefers windows that merged before,
//! and later makes the oldest tokens destinations.

use super::{params, shader};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{Access, AdapterClass, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("ages");

params! {
    /// Uniform of `ages.wgsl`.
    struct Params { batch: u32, rows: u32 }
}

/// The ages of all tokens, and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// `[B, N]`, whole numbers.
    pub ages: ValueId,
    /// `[B]`: the sum over a sample. Exact, in whatever order, up to 2²⁴.
    pub total: ValueId,
}

#[derive(Debug)]
struct AgesOp {
    ages: Ages,
    merged: Option<ValueId>,
}

/// ages ← merged · (ages + 1), in place, for `merged [B, N]` of ones and zeros, and total ← Σ ages. Without `merged`
/// all ages are 0, whatever they were.
pub fn ages(graph: &mut Graph, ages: Ages, merged: Option<ValueId>) -> Result<()> {
    let [batch, rows] = graph.dims(SHADER.name, ages.ages)?;
    graph.expect(SHADER.name, ages.total, &[batch])?;
    if let Some(merged) = merged {
        graph.expect(SHADER.name, merged, &[batch, rows])?;
    }
    graph.push(AgesOp { ages, merged });
    Ok(())
}

impl Op for AgesOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Ages { ages, total } = self.ages;
        let how = if self.merged.is_some() { Access::Update } else { Access::Write };
        vec![Pass::new().bind(ages, how).write(total).read(self.merged)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (batch, rows) = graph.get(self.ages.ages).matrix();
        // As in `select`: few threads where a barrier is a switch between coroutines, but not so many rounds that a
        // thread would meet the end of Caps::max_rounds.
        let threads: u32 = match caps.class {
            AdapterClass::Software if rows <= 65_536 => 8,
            _ => 256,
        };
        let params = Params { batch: batch as u32, rows: rows as u32 };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(batch as u64));
        Ok(vec![dispatch.constant("MERGED", self.merged.is_some()).constant("THREADS", threads)])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (_, rows) = graph.get(self.ages.ages).matrix();
        let ages: Vec<f32> = match self.merged {
            Some(merged) => host
                .f32(merged)
                .iter()
                .zip(host.f32(self.ages.ages))
                .map(|(merged, age)| merged * (age + 1.0))
                .collect(),
            None => vec![0.0; graph.get(self.ages.ages).len()],
        };
        let total = ages.chunks_exact(rows).map(|ages| ages.iter().map(|age| f64::from(*age)).sum::<f64>() as f32);
        host.write(graph, self.ages.total, total.collect());
        host.write(graph, self.ages.ages, ages);
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::testing::Case;

    // Whole numbers are exact in any order; this is for the comparison that must fail.
    const TOLERANCE: f64 = 1e-7;

    /// Ages of 0 to 500, which many a step would bring about, and totals that must not matter.
    fn aged(case: &mut Case, batch: usize, rows: usize) -> Ages {
        let values = (0..batch * rows).map(|_| case.rng.random_range(0..=500) as f32).collect();
        Ages { ages: case.input_of("ages", &[batch, rows], values), total: case.input("total", &[batch]) }
    }

    fn merged(case: &mut Case, name: &str, batch: usize, rows: usize) -> ValueId {
        let values = (0..batch * rows).map(|_| f32::from(u8::from(case.rng.random_bool(0.7)))).collect();
        case.input_of(name, &[batch, rows], values)
    }

    #[test]
    fn samples_of_any_length() {
        for (batch, rows) in [(1, 1), (2, 7), (3, 8), (2, 257), (2, 4096), (1, 70_001)] {
            let mut case = Case::new();
            let of = aged(&mut case, batch, rows);
            for name in ["first", "second"] {
                let merged = merged(&mut case, name, batch, rows);
                ages(&mut case.graph, of, Some(merged)).unwrap();
            }
            case.agrees_on_every_class(TOLERANCE);
        }
    }

    #[test]
    fn those_merged_grow_older_and_the_others_begin_again() {
        let mut case = Case::new();
        let of = Ages {
            ages: case.input_of("ages", &[2, 3], vec![0.0, 4.0, 5.0, 1.0, 1.0, 0.0]),
            total: case.input("total", &[2]),
        };
        let merged = case.input_of("merged", &[2, 3], vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        ages(&mut case.graph, of, Some(merged)).unwrap();
        case.agrees_on_every_class(TOLERANCE);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(of.ages), [1.0, 0.0, 6.0, 0.0, 0.0, 0.0]);
        assert_eq!(host.f32(of.total), [7.0, 0.0]);
    }

    #[test]
    fn nobody_merged_is_nobody_aged_whatever_lay_there() {
        let mut case = Case::new();
        let of = Ages {
            ages: case.input_of("ages", &[1, 4], vec![f32::NAN, f32::INFINITY, 3.0, -1.0]),
            total: case.input("total", &[1]),
        };
        ages(&mut case.graph, of, None).unwrap();
        let op = &case.graph.nodes()[0].op;
        assert_eq!(op.access(), [(of.ages, Access::Write), (of.total, Access::Write)]);
        case.agrees_on_every_class(TOLERANCE);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let good = aged(&mut case, 2, 4);
        let short = case.input("short", &[2, 3]);
        for (of, merged, message) in [
            (good, Some(short), "short has shape [2, 3], expected [2, 4]"),
            (Ages { total: short, ..good }, None, "short has shape [2, 3], expected [2]"),
            (Ages { ages: good.total, ..good }, None, "total has shape [2], expected 2 dimensions"),
        ] {
            let error = ages(&mut case.graph, of, merged).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
