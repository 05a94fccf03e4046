//! The facts for people.

use foveate::Grid;
use foveate::compress::DiffcrConfig;
use foveate::low_level::text::printable;
use foveate_studio::memory::DTYPES;

use super::facts::{Component, Facts};
use super::precision::Loss;
use crate::table;

/// All of it.
pub fn write(facts: &Facts) -> String {
    let Grid { rows, columns } = facts.grid;
    let side = facts.pixels;
    let prompt = facts.prompt_tokens.map(|n| format!(", prompts of up to {n}")).unwrap_or_default();
    let mut text = format!(
        "pipeline   {}\nscheduler  {}\ntokens     {} ({rows} × {columns}) at {side}x{side} pixels{prompt}\n\
         {}\n\n{}",
        printable(&facts.pipeline),
        facts.scheduler,
        facts.grid.tokens(),
        steps(&facts.flops),
        components(&facts.components),
    );
    if !facts.losses.is_empty() {
        text += &format!("\n\n{}", losses(&facts.losses));
    }
    if let Some(kept) = &facts.kept {
        text += &format!("\n\n{}", matrix(kept));
    }
    text
}

fn components(components: &[Component]) -> String {
    let mut rows = vec![cells(["GPU memory", "parameters", "as stored"])];
    rows[0].extend(DTYPES.map(|dtype| dtype.to_string()));
    for c in components {
        let name = printable(&format!("{} ({})", c.name, c.class));
        let mut row = vec![name, millions(c.parameters), mib(c.stored)];
        row.extend(c.bytes.map(mib));
        rows.push(row);
    }
    let sum = |of: &dyn Fn(&Component) -> u64| components.iter().map(of).sum::<u64>();
    let mut row = vec!["all".into(), millions(sum(&|c| c.parameters)), mib(sum(&|c| c.stored))];
    row.extend((0..DTYPES.len()).map(|i| mib(sum(&|c| c.bytes[i]))));
    rows.push(row);
    table::lines(&rows)
}

fn losses(losses: &[Loss]) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut rows = vec![cells(["error of weights", "dtype", "mean", "worst"])];
    rows.extend(
        losses
            .iter()
            .map(|loss| vec![loss.component.clone(), loss.format.to_string(), percent(loss.mean), percent(loss.worst)]),
    );
    let tensors = ["in"].into_iter().chain(losses.iter().map(|loss| loss.tensor.as_str()));
    let line = |(line, tensor)| format!("{line}  {}", printable(tensor));
    let lines: Vec<_> = table::lines(&rows).lines().zip(tensors).map(line).collect();
    lines.join("\n")
}

/// A step by policy, under guidance; how much of the dense one each is.
fn steps(counts: &[(String, u64)]) -> String {
    let dense = counts.first().map_or(0, |(_, count)| *count);
    let line = |(name, count): &(String, u64)| match name.as_str() {
        "dense" => format!("one step   {} (dense, with guidance)", flops(*count)),
        _ => format!("           {} ({name}, {:.0} %)", flops(*count), 100.0 * *count as f64 / dense.max(1) as f64),
    };
    counts.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn matrix(config: &DiffcrConfig) -> String {
    let kept = config.kept.rows();
    let layers = kept.first().map_or(0, Vec::len);
    let mut rows = vec![vec![format!("kept ratio (scores scale {}), layer", config.scale.name())]];
    rows[0].extend((0..layers).map(|layer| layer.to_string()));
    rows[0].push("mean".into());
    for (region, ratios) in kept.iter().enumerate() {
        let end = match region {
            0 => " (noisiest)",
            r if r + 1 == kept.len() => " (cleanest)",
            _ => "",
        };
        let mut row = vec![format!("region {region}{end}")];
        row.extend(ratios.iter().map(|ratio| format!("{ratio:.2}")));
        row.push(format!("{:.3}", ratios.iter().sum::<f64>() / layers.max(1) as f64));
        rows.push(row);
    }
    table::lines(&rows)
}

fn cells<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(String::from).to_vec()
}

fn millions(count: u64) -> String {
    format!("{:.2} M", count as f64 / 1e6)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn flops(count: u64) -> String {
    match count as f64 {
        n if n >= 1e12 => format!("{:.2} TFLOP", n / 1e12),
        n if n >= 1e9 => format!("{:.2} GFLOP", n / 1e9),
        n => format!("{:.2} MFLOP", n / 1e6),
    }
}
