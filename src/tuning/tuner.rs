//! All cases of a model within a budget of time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Tuning;
use super::cases::cases;
use super::trial::Bench;
use crate::graph::Graph;
use crate::shared::Instant;
use crate::{Gpu, Result};

/// A case that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The kernel.
    pub kernel: String,
    /// What it was asked for.
    pub case: String,
    /// Share of the work of all cases.
    pub share: f64,
    /// The variant that an estimate chooses.
    pub usual: String,
    /// Its microseconds.
    pub usual_us: f64,
    /// The one that is chosen.
    pub chosen: String,
    /// Its microseconds.
    pub chosen_us: f64,
    /// Variants that did not compute what the first one does, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrong: Vec<(String, String)>,
}

/// How far [`tune`] is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Cases measured so far, and all.
    pub done: usize,
    /// All of them.
    pub all: usize,
    /// The one that is measured now.
    pub case: &'a str,
}

/// Measures the variants of the kernels for what these graphs ask for, on this device, within about `budget`: the cases
/// with the most work first, each for its share of the time. Cases for which no time is left keep their estimate.
/// `progress` may end it with an error.
pub async fn tune(
    gpu: &Gpu,
    graphs: &[Graph],
    budget: Duration,
    mut progress: impl FnMut(Progress<'_>) -> Result<()>,
) -> Result<Tuning> {
    let cases = cases(graphs, gpu.caps());
    let work: u64 = cases.iter().map(|case| case.flops).sum();
    let mut left = work;
    let mut tuning = Tuning::new(gpu.caps());
    let start = Instant::now();
    for (done, case) in cases.iter().enumerate() {
        let Some(time) = budget.checked_sub(start.elapsed()) else { break };
        // What others did not use of their share is shared out among those that follow.
        let time = time.mul_f64(case.flops as f64 / left.max(1) as f64);
        left -= case.flops;
        let candidates = &case.candidates;
        let mut still = || progress(Progress { done, all: cases.len(), case: &candidates.case });
        still()?;
        let outcome = Bench::new(gpu, case).await?.race(time, still).await?;
        let usual = candidates.variants.first().cloned().unwrap_or_default();
        if outcome.best != usual {
            tuning.choices.insert(candidates.kernel, &candidates.case, &outcome.best);
        }
        tuning.measured.push(Found {
            kernel: candidates.kernel.into(),
            case: candidates.case.clone(),
            share: case.flops as f64 / work.max(1) as f64,
            usual,
            usual_us: 1e6 * outcome.usual,
            chosen: outcome.best,
            chosen_us: 1e6 * outcome.seconds,
            wrong: outcome.wrong,
        });
    }
    Ok(tuning)
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::Error;
    use crate::graph::{AdapterClass, Element};
    use crate::kernels::{Activation, Linear, ReadRows, linear};
    use crate::testing::posing_as;
    use crate::weights::Format;

    fn products() -> Graph {
        let mut graph = Graph::new();
        let x = graph.stored("x", &[2, 40, 64], Element::F32);
        for (name, columns) in [("a", 96), ("b", 8)] {
            let weight = graph.stored(name, &[columns, 64], Element::Packed(Format::F16));
            let options = Linear { weight, bias: None, activation: Activation::Silu, rows: ReadRows::All };
            linear(&mut graph, x, options).unwrap();
        }
        graph
    }

    #[test]
    fn what_is_measured_is_what_is_taken() {
        for class in [AdapterClass::Hardware, AdapterClass::Software] {
            let gpu = posing_as(class);
            let budget = Duration::from_secs(120);
            let mut asked = 0;
            let tuning = block_on(tune(&gpu, &[products()], budget, |now| {
                asked += 1;
                assert!(now.done < now.all && now.all == 2);
                Ok(())
            }));
            let mut tuning = tuning.unwrap();
            assert!(asked > 10 && tuning.measured.len() == 2 && tuning.measured[0].case == "80x96x64 f16");
            for found in &tuning.measured {
                assert!(
                    found.usual_us > 0.0 && found.chosen_us <= found.usual_us && found.wrong.is_empty(),
                    "{found:?}"
                );
            }
            // Another variant than the usual one, whatever was fastest here.
            let cases = cases(&[products()], gpu.caps());
            let last = cases[0].candidates.variants.last().unwrap();
            tuning.choices.insert("linear", "80x96x64 f16", last);
            let tuned = gpu.with_tuning(&tuning).unwrap();
            let recorded = |gpu: &Gpu| products().nodes()[0].op.record(&products(), gpu.caps()).unwrap();
            let differ = |one: &Gpu, two: &Gpu| {
                let [one, two] = [one, two].map(recorded);
                (one[0].entry, &one[0].constants, &one[0].workgroups)
                    != (two[0].entry, &two[0].constants, &two[0].workgroups)
            };
            assert!(differ(&gpu, &tuned) && !differ(&gpu, &tuned.untuned()), "{last}");
        }
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let gpu = posing_as(AdapterClass::Hardware);
        let mut asked = 0;
        let ended = block_on(tune(&gpu, &[products()], Duration::from_secs(60), |_| {
            asked += 1;
            if asked < 3 { Ok(()) } else { Err(Error::Cancelled) }
        }));
        assert!(ended.is_err());
        let none = block_on(tune(&gpu, &[products()], Duration::ZERO, |_| Ok(()))).unwrap();
        assert!(none.choices.is_empty());
    }
}
