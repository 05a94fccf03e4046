//! The race of one case: every variant is held against the first, then those that agree are timed in turn.

use std::time::Duration;

use super::cases::Case;
use super::rival::Rival;
use crate::device::{Device, Store};
use crate::graph::{Access, Choices, ValueId};
use crate::shared::Instant;
use crate::tensor::relative_l2;
use crate::{Error, Gpu, Result};

/// Variants differ by the order of their sums and, where they multiply in f16, by that rounding. A variant that a driver
/// compiles wrongly is off by far more. Relative L2.
const AGREE: f64 = 2e-3;
/// Rounds, where the time allows them.
const ROUNDS: usize = 7;
/// A variant that takes this many times what the fastest takes is out after its first round.
const HOPELESS: f64 = 1.5;
/// The first variant stays unless another takes less than this share of its time: else noise would choose.
const BETTER: f64 = 0.97;

/// An op by itself, with random contents for what it reads.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    gpu: &'a Gpu,
    case: &'a Case,
    store: Store,
    /// What it writes.
    outputs: Vec<ValueId>,
}

/// How a case ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Seconds of the first variant.
    pub usual: f64,
    /// The fastest, and its seconds.
    pub best: String,
    pub seconds: f64,
    /// Variants that computed something else, or failed; with the reason.
    pub wrong: Vec<(String, String)>,
}

impl<'a> Bench<'a> {
    /// Fills what the op reads.
    pub async fn new(gpu: &'a Gpu, case: &'a Case) -> Result<Self> {
        let mut store = Store::new();
        store.fill_missing(&gpu.into(), &case.graph).await?;
        let touched = case.graph.nodes().iter().flat_map(|node| node.op.access());
        let outputs = touched.filter(|(_, access)| *access != Access::Read).map(|(id, _)| id).collect();
        Ok(Self { gpu, case, store, outputs })
    }

    /// The variant `name`, compiled.
    async fn rival(&self, name: &str) -> Result<Rival> {
        let mut choices = Choices::default();
        choices.insert(self.case.candidates.kernel, &self.case.candidates.case, name);
        Rival::new(&self.gpu.choosing(choices).into(), &self.case.graph, &self.store, name).await
    }

    /// What the op has written.
    async fn written(&self, device: &Device) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for &id in &self.outputs {
            all.extend_from_slice(self.store.read(device, &self.case.graph.get(id).name).await?.f32());
        }
        Ok(all)
    }

    /// Runs a variant, and returns what it has written. What was there before is spoilt first, so that a variant that
    /// writes nothing does not pass.
    async fn result(&self, device: &Device, rival: &Rival) -> Result<Vec<f32>> {
        for &id in &self.outputs {
            let value = self.case.graph.get(id);
            self.store.write(device, &value.name, bytemuck::cast_slice(&vec![f32::MAX; value.len()]))?;
        }
        rival.run(device).await?;
        self.written(device).await
    }

    /// The race, for about `budget`. `still` is asked between timings, and ends it with its error.
    pub async fn race(&self, budget: Duration, mut still: impl FnMut() -> Result<()>) -> Result<Outcome> {
        let device: Device = self.gpu.into();
        let mut names = self.case.candidates.variants.iter();
        let usual = names.next().map(String::as_str).unwrap_or_default();
        let usual = self.rival(usual).await?;
        let expected = self.result(&device, &usual).await?;
        let (mut rivals, mut wrong) = (vec![usual], Vec::new());
        let start = Instant::now();
        for name in names {
            still()?;
            if start.elapsed() > budget / 2 {
                break;
            }
            match self.admit(&device, name, &expected).await {
                Ok(rival) => rivals.push(rival),
                // Of one variant: the others may do. A lost device ends all.
                Err(error) => {
                    device.check()?;
                    wrong.push((name.clone(), error.to_string()));
                }
            }
        }
        let mut runs = Vec::new();
        for rival in &rivals {
            still()?;
            runs.push(rival.runs(&device).await?);
        }
        let mut racing: Vec<(Rival, u32)> = rivals.into_iter().zip(runs).collect();
        for round in 0..ROUNDS {
            if round > 0 && start.elapsed() > budget {
                break;
            }
            for (rival, runs) in &mut racing {
                still()?;
                rival.round(&device, *runs).await?;
            }
            let fastest = racing.iter().map(|(rival, _)| rival.median()).fold(f64::INFINITY, f64::min);
            let mut place = 0;
            racing.retain(|(rival, _)| {
                place += 1;
                place == 1 || rival.median() <= HOPELESS * fastest
            });
        }
        let usual = racing[0].0.median();
        let best = racing.iter().map(|(rival, _)| rival).min_by(|one, two| one.median().total_cmp(&two.median()));
        let best = best.filter(|best| best.median() < BETTER * usual).unwrap_or(&racing[0].0);
        Ok(Outcome { usual, best: best.name.clone(), seconds: best.median(), wrong })
    }

    /// A variant that computes what the first one does.
    async fn admit(&self, device: &Device, name: &str, expected: &[f32]) -> Result<Rival> {
        let rival = self.rival(name).await?;
        let off = relative_l2(&self.result(device, &rival).await?, expected);
        match off <= AGREE {
            true => Ok(rival),
            false => Err(Error::shape(self.case.candidates.kernel, format!("its result is off by {off:.1e}"))),
        }
    }
}
