//! `foveate bench --roofline`: what this adapter does at most, and how much of that each op reaches.

mod ops;
mod peak;

use foveate::low_level::device::{Memory, Plan, Store};
use foveate::low_level::graph::{Caps, Graph};
use foveate::low_level::weights::Format;
use foveate::{Device, Result};
use serde_json::{Value, json};

use self::ops::{Dit, Measured, SIZES};
use self::peak::Precision;
use super::{Bench, measure};
use crate::cancel::Cancel;
use crate::progress::Progress;
use crate::{report, table};

/// What weights are stored in where nothing else is said.
const FORMAT: Format = Format::F16;
/// Numbers that are copied: more than caches hold.
const COPIED: usize = 64 << 20;
/// Rounds of multiply-adds that a thread takes.
const FMA_ROUNDS: usize = 1024;

/// What the adapter does at most, in a second.
#[derive(Clone, Copy, Debug)]
struct Peaks {
    /// Operations in single precision; a multiply-add counts as two.
    f32: f64,
    /// In half precision, where it has that.
    f16: Option<f64>,
    /// Bytes read and written by a copy.
    bytes: f64,
}

/// An op that was measured.
#[derive(Debug)]
struct Row {
    model: String,
    op: &'static str,
    flops: f64,
    bytes: f64,
    seconds: f64,
}

impl Row {
    /// Its share of what the adapter can do, and whether that is arithmetic ("fma") or memory ("copy").
    fn share(&self, peaks: &Peaks) -> (f64, &'static str) {
        let (fma, copy) = (self.flops / peaks.f32, self.bytes / peaks.bytes);
        if fma >= copy { (fma / self.seconds, "fma") } else { (copy / self.seconds, "copy") }
    }
}

/// Measures and reports.
pub async fn run(options: &Bench, tokens: &[u32]) -> Result<()> {
    let progress = Progress::new();
    let cancel = Cancel::on_interrupt(options.json, &progress)?;
    let device = options.device.choice().open_gpu().await?;
    device.gpu("a roofline")?;
    let format = options.what.dtype.unwrap_or(FORMAT);
    let seconds = async |graph: Graph, what: &str| {
        progress.busy(what);
        cancel.check()?;
        time(&device, &graph, options.repeats, &cancel).await
    };
    let caps = device.caps().clone();
    let fma = peak::fma(Precision::F32, 4 * caps.busy_threads as usize, FMA_ROUNDS);
    let halves = peak::fma(Precision::F16, 4 * caps.busy_threads as usize, FMA_ROUNDS);
    let copy = peak::copy(COPIED.min(caps.max_tensor_bytes() as usize / 4));
    let copied = ops::bytes(&copy) as f64;
    let peaks = Peaks {
        f32: fma.flops() as f64 / seconds(fma, "multiply-adds").await?,
        f16: match caps.f16 {
            true => Some(halves.flops() as f64 / seconds(halves, "multiply-adds, f16").await?),
            false => None,
        },
        bytes: copied / seconds(copy, "copy").await?,
    };
    let mut rows = Vec::new();
    for tokens in tokens.iter().map(|&tokens| tokens as usize) {
        for dit in SIZES {
            for Measured { name, graph } in ops::of_block(dit, options.what.batch, tokens, format)? {
                let Dit { name: size, .. } = dit;
                let model = format!("{size}, {tokens} tokens");
                let (flops, bytes) = (graph.flops() as f64, ops::bytes(&graph) as f64);
                let seconds = seconds(graph, &format!("DiT-{model}: {name}")).await?;
                rows.push(Row { model, op: name, flops, bytes, seconds });
            }
        }
    }
    progress.done();
    if options.json {
        return report::say_json(&as_json(&caps, &peaks, &rows, options, format));
    }
    let batch = options.what.batch;
    report::say(&format!(
        "adapter  {caps}\n{}\nops      of a DiT block by themselves, batch {batch}, weights in {format}: medians of {} rounds\n\n{}",
        shown_peaks(&peaks),
        options.repeats,
        shown(&peaks, &rows)
    ))
}

/// Seconds of one run of `graph`, with random contents.
async fn time(device: &Device, graph: &Graph, rounds: usize, cancel: &Cancel) -> Result<f64> {
    let mut store = Store::new();
    store.fill_missing(device, graph).await?;
    let plan = Plan::compile(device, graph, &store, Memory::Shared).await?;
    let seconds = measure::seconds(device, &[plan], rounds, || cancel.check()).await?;
    Ok(seconds.into_iter().next().unwrap_or(f64::NAN))
}

fn shown_peaks(peaks: &Peaks) -> String {
    let halves = peaks.f16.map_or("no f16".into(), |f16| format!("{:.1} GFLOP/s in f16", f16 / 1e9));
    let (f32, bytes) = (peaks.f32 / 1e9, peaks.bytes / 1e9);
    format!("at most  {f32:.1} GFLOP/s in f32, {halves}; {bytes:.1} GB/s copied (read and written)")
}

fn shown(peaks: &Peaks, rows: &[Row]) -> String {
    let head = ["DiT", "op", "ms", "GFLOP/s", "GB/s", "of the roof", "by"];
    let mut lines = vec![head.map(String::from).to_vec()];
    for row in rows {
        let Row { model, op, flops, bytes, seconds } = row;
        let (share, by) = row.share(peaks);
        lines.push(vec![
            model.clone(),
            (*op).into(),
            format!("{:.3}", 1e3 * seconds),
            format!("{:.1}", flops / seconds / 1e9),
            format!("{:.1}", bytes / seconds / 1e9),
            format!("{:.0} %", 100.0 * share),
            by.into(),
        ]);
    }
    table::lines(&lines)
}

fn as_json(caps: &Caps, peaks: &Peaks, rows: &[Row], options: &Bench, format: Format) -> Value {
    let row = |row: &Row| {
        let (share, by) = row.share(peaks);
        json!({
            "model": row.model, "op": row.op, "seconds": row.seconds, "flops": row.flops as u64,
            "bytes": row.bytes as u64, "share": share, "by": by,
        })
    };
    json!({
        "adapter": caps.to_string(),
        "tuning": caps.choices.name(),
        "batch": options.what.batch,
        "dtype": format.to_string(),
        "peaks": { "f32": peaks.f32, "f16": peaks.f16, "bytes": peaks.bytes },
        "ops": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_op_is_held_against_the_nearer_roof() {
        let peaks = Peaks { f32: 100.0, f16: None, bytes: 10.0 };
        let row = |flops, bytes| Row { model: "S, 256 tokens".into(), op: "qkv", flops, bytes, seconds: 2.0 };
        assert_eq!(row(100.0, 1.0).share(&peaks), (0.5, "fma"));
        assert_eq!(row(0.0, 5.0).share(&peaks), (0.25, "copy"));
        let text = shown(&peaks, &[row(100.0, 1.0)]);
        assert!(text.ends_with("50 %  fma"), "{text}");
    }
}
