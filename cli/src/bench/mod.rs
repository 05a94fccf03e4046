//! `foveate bench`: dense against compressed steps of the transformer alone, in one run.

mod candidate;
mod groups;
mod measure;
mod options;
mod outcome;
mod random_model;
mod random_weights;
mod roofline;
mod shape;
mod subject;

use foveate::compress::Policies;
use foveate::low_level::device::Plan;
use foveate::{Context, Result};
use serde_json::json;

use super::cancel::Cancel;
use super::progress::Progress;
use super::report;
pub use candidate::Candidate;
use candidate::mean;
use groups::Groups;
pub use options::{Bench, What};
use outcome::{Outcome, Row};
pub use subject::Subject;

/// Rounds with timestamps; shares need fewer than times.
const PROFILED: usize = 3;

/// Measures and reports. Whatever can be found wrong early is.
pub async fn run(options: &Bench) -> Result<()> {
    if let Some(tokens) = &options.roofline {
        return roofline::run(options, tokens).await;
    }
    options.check(&Policies::default())?;
    let subject = Subject::open(&options.what).await?;
    let (mut candidates, mut graphs) = (Vec::new(), Vec::new());
    let given = subject.transformer.given(subject.size).await?;
    for policy in options.policies(&subject.policies, &subject.transformer.trained)? {
        let (candidate, steps) = Candidate::new(&subject, &given, &policy).context(|| "building a step")?;
        candidates.push(candidate);
        graphs.extend(steps);
    }

    let progress = Progress::new();
    let cancel = Cancel::on_interrupt(options.json, &progress)?;
    let device = options.device.choice().open_for_times().await?;
    let told = |at: foveate::Progress<'_>| {
        progress.loading(at);
        cancel.check()
    };
    let mut store = cancel.unless(subject.transformer.load(&device, told)).await?;
    progress.busy("compile");
    subject.transformer.insert_inputs(&device, &mut store, subject.size).await?;
    for graph in &graphs {
        store.allocate_missing(&device, graph).await?;
    }
    let plans = Plan::compile_pooled(&device, &graphs, &store).await?;
    device.wait().await?;

    let profiled = if device.caps().timestamps { PROFILED.min(options.repeats) } else { 0 };
    progress.steps(plans.len() * (1 + options.repeats + profiled));
    let after_each = || {
        progress.step();
        cancel.check()
    };
    let seconds = cancel.unless(measure::seconds(&device, &plans, options.repeats, after_each)).await?;
    let groups = cancel.unless(groups::profile(&device, &plans, profiled, after_each)).await?;
    progress.done();

    let outcome = Outcome { rows: rows(candidates, &seconds, groups.as_deref()) };
    if options.json {
        return report::say_json(&json!({
            "adapter": device.caps().to_string(),
            "shape": subject.json(),
            "policies": outcome.json(),
        }));
    }
    let (steps, rounds) = (subject.timesteps.len(), options.repeats);
    report::say(&format!(
        "adapter  {}\nmodel    {}\ntimes    of one step of the transformer: medians of {rounds} rounds, the mean over \
         {steps} steps\n\n{}",
        device.caps(),
        subject.line(),
        outcome.table()
    ))?;
    outcome.groups().map_or(Ok(()), |groups| report::say(&format!("\n{groups}")))
}

/// A row for each policy, of the figures of its distinct steps, which lie one after the other.
fn rows(candidates: Vec<Candidate>, seconds: &[f64], groups: Option<&[Groups]>) -> Vec<Row> {
    let mut first = 0;
    let row = |candidate: Candidate| {
        let steps = first..first + candidate.shares.len();
        first = steps.end;
        let seconds = mean(&seconds[steps.clone()], &candidate.shares);
        let groups = groups.map(|groups| Groups::mean(&groups[steps], &candidate.shares));
        Row { candidate, seconds, groups }
    };
    candidates.into_iter().map(row).collect()
}
