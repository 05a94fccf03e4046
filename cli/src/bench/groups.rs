//! Where a step's time goes: the device's own clock at the ends of each group of the profile.

use foveate::low_level::device::Plan;
use foveate::low_level::gpu::{Profiler, Span};
use foveate::{Device, Result};

use super::candidate::mean;
use crate::{report, trace};

/// What a policy adds to a block is in groups of this name.
const POLICY: &str = "policy";

/// Seconds by group, the same group of all blocks as one, in the order in which they first ran.
#[derive(Debug, Default, PartialEq)]
pub struct Groups(pub Vec<(String, f64)>);

/// The groups of each plan, the mean over so many rounds; none where the adapter has no timestamps, or a step has more
/// groups than fit. These runs are not the ones that are timed: a pass per group costs something itself.
pub async fn profile(
    device: &Device,
    plans: &[Plan],
    rounds: usize,
    mut after_each: impl FnMut() -> Result<()>,
) -> Result<Option<Vec<Groups>>> {
    if !device.caps().timestamps {
        return Ok(None);
    }
    let gpu = device.gpu("a profile")?;
    let mut profiler = Profiler::new(gpu).await?;
    let mut all: Vec<Groups> = plans.iter().map(|_| Groups::default()).collect();
    for _ in 0..rounds {
        for (plan, groups) in plans.iter().zip(&mut all) {
            let mut encoder = gpu.encoder();
            plan.encode_profiled(&mut encoder, &mut profiler)?;
            gpu.submit(encoder);
            for Span { label, duration, .. } in profiler.spans(gpu).await? {
                groups.add(&label, duration / 1e6 / rounds as f64);
            }
            after_each()?;
        }
    }
    if profiler.dropped > 0 {
        report::note(&trace::lacks(profiler.dropped));
    }
    // Groups that found no room would make every share wrong.
    Ok((profiler.dropped == 0).then_some(all))
}

impl Groups {
    /// The mean over all steps, of one for each distinct step.
    pub fn mean(steps: &[Self], shares: &[f64]) -> Self {
        let mut all = Self::default();
        for name in steps.iter().flat_map(|groups| &groups.0).map(|(name, _)| name) {
            if all.0.iter().all(|(known, _)| known != name) {
                let seconds: Vec<f64> = steps.iter().map(|groups| groups.of(name)).collect();
                all.0.push((name.clone(), mean(&seconds, shares)));
            }
        }
        all
    }

    /// The seconds of a group; 0 where there is none of this name.
    pub fn of(&self, name: &str) -> f64 {
        self.0.iter().find(|(known, _)| known == name).map_or(0.0, |(_, seconds)| *seconds)
    }

    /// All of them.
    pub fn sum(&self) -> f64 {
        self.0.iter().map(|(_, seconds)| seconds).sum()
    }

    /// The share that goes into deciding what to compute.
    pub fn overhead(&self) -> f64 {
        if self.sum() > 0.0 { self.of(POLICY) / self.sum() } else { 0.0 }
    }

    fn add(&mut self, label: &str, seconds: f64) {
        let name = without_block(label);
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, all)) => *all += seconds,
            None => self.0.push((name.to_owned(), seconds)),
        }
    }
}

/// "block 3 attention" is "attention".
fn without_block(label: &str) -> &str {
    match label.strip_prefix("block ").and_then(|rest| rest.split_once(' ')) {
        Some((number, name)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(spans: &[(&str, f64)]) -> Groups {
        let mut groups = Groups::default();
        spans.iter().for_each(|(label, seconds)| groups.add(label, *seconds));
        groups
    }

    #[test]
    fn blocks_are_added_up() {
        let routed = groups(&[("embed", 1.0), ("block 0 policy", 0.5), ("block 0 mlp", 2.0), ("block 11 policy", 0.5)]);
        assert_eq!((routed.of("policy"), routed.of("mlp"), routed.of("text")), (1.0, 2.0, 0.0));
        assert_eq!((routed.sum(), routed.overhead()), (4.0, 0.25));
        assert_eq!(groups(&[("policy of blocks", 1.0)]).overhead(), 0.0);
        let mean = Groups::mean(&[groups(&[("embed", 4.0)]), routed], &[0.75, 0.25]);
        assert_eq!((mean.of("embed"), mean.of("policy")), (3.25, 0.25));
    }
}
