//! `foveate tune`: which variants of the kernels are fastest on this adapter, for the shapes of a model.

use std::time::Duration;

use foveate::compress::Policies;
use foveate::low_level::tuning::{self, Found, Tuning};
use foveate::{Context, Result};
use foveate_studio::tuning as kept;

use super::adapter::Choice;
use super::bench::{Bench, Candidate, Subject, What};
use super::cancel::Cancel;
use super::progress::Progress;
use super::values::count;
use super::{report, table};

/// `foveate tune`
#[derive(Debug, clap::Args)]
pub struct Tune {
    #[command(flatten)]
    what: What,
    /// About how many seconds to measure; the products with the most work come first
    #[arg(long, value_name = "N", default_value = "20", value_parser = count, allow_negative_numbers = true)]
    seconds: usize,
    /// Print what was measured as JSON, to send to the project, and keep it
    #[arg(long)]
    pub share: bool,
    #[command(flatten)]
    device: Choice,
}

/// Measures, keeps and reports.
pub async fn run(options: &Tune) -> Result<()> {
    let bench = Bench::of(&options.what);
    bench.check(&Policies::default())?;
    let subject = Subject::open(&options.what).await?;
    let given = subject.transformer.given(subject.size).await?;
    let mut graphs = Vec::new();
    for policy in bench.policies(&subject.policies, &subject.transformer.trained)? {
        graphs.extend(Candidate::new(&subject, &given, &policy).context(|| "building a step")?.1);
    }
    let progress = Progress::new();
    let cancel = Cancel::on_interrupt(options.share, &progress)?;
    let device = options.device.untuned().open_gpu().await?;
    let gpu = device.gpu("tuning")?;
    report::note(&format!("measuring for about {} s on {}", options.seconds, gpu.caps()));
    let tuning = tuning::tune(gpu, &graphs, Duration::from_secs(options.seconds as u64), |now| {
        progress.busy(&format!("product {} of {}: {}", now.done + 1, now.all, now.case));
        cancel.check()
    });
    let tuning = cancel.unless(tuning).await?;
    cancel.begin_writing()?;
    progress.done();
    let path = kept::keep(&tuning, gpu.caps())?;
    if options.share {
        return report::say_text(&tuning.json());
    }
    let place = path.display();
    report::say(&format!(
        "adapter  {}\nmodel    {}\n\n{}\n\nkept in {place}\n--tune off draws without it",
        gpu.caps(),
        subject.line(),
        shown(&tuning)
    ))
}

/// A line for each case.
fn shown(tuning: &Tuning) -> String {
    let head = ["product", "share", "estimated", "µs", "fastest", "µs", "gain"];
    let mut lines = vec![head.map(String::from).to_vec()];
    for Found { case, share, usual, usual_us, chosen, chosen_us, .. } in &tuning.measured {
        lines.push(vec![
            case.clone(),
            format!("{:.1} %", 100.0 * share),
            usual.clone(),
            format!("{usual_us:.0}"),
            chosen.clone(),
            format!("{chosen_us:.0}"),
            format!("{:.2}", usual_us / chosen_us),
        ]);
    }
    let wrong = tuning.measured.iter().flat_map(|found| {
        found.wrong.iter().map(|(variant, reason)| format!("\n{} {}: left out, {reason}", found.case, variant))
    });
    table::lines(&lines) + &wrong.collect::<String>()
}

#[cfg(test)]
mod tests {
    use foveate::low_level::graph::Caps;

    use super::*;

    #[test]
    fn what_a_variant_gains_and_what_was_wrong_is_shown() {
        let mut tuning = Tuning::new(&Caps::minimum());
        tuning.measured.push(Found {
            kernel: "linear".into(),
            case: "8x8x8 f32".into(),
            share: 0.25,
            usual: "tiled a".into(),
            usual_us: 30.0,
            chosen: "tiled b".into(),
            chosen_us: 20.0,
            wrong: vec![("tiled c".into(), "off by 1.0e0".into())],
        });
        let text = shown(&tuning);
        assert!(text.contains("8x8x8 f32  25.0 %    tiled a  30  tiled b  20  1.50"), "{text}");
        assert!(text.ends_with("\n8x8x8 f32 tiled c: left out, off by 1.0e0"), "{text}");
    }
}
