//! `--profile`: GPU time per group of every step, as a trace that chrome://tracing and Perfetto open.

use foveate::low_level::gpu::{Gpu, Profiler, Span};
use foveate::{Error, Result};
use serde_json::{Value, json};

/// Gathers the spans of all steps.
#[derive(Debug)]
pub struct Trace {
    /// What a step is encoded with.
    pub profiler: Profiler,
    steps: Vec<Vec<Span>>,
}

/// What the user should know of a profile that so many groups are missing from.
pub fn lacks(dropped: usize) -> String {
    format!("the profile lacks {dropped} groups: a step has more than it can hold")
}

impl Trace {
    /// Fails where the adapter has no timestamps.
    pub async fn new(gpu: &Gpu) -> Result<Self> {
        Ok(Self { profiler: Profiler::new(gpu).await?, steps: Vec::new() })
    }

    /// Reads the spans of the step that was just submitted.
    pub async fn end_step(&mut self, gpu: &Gpu) -> Result<()> {
        self.steps.push(self.profiler.spans(gpu).await?);
        Ok(())
    }

    /// Groups that found no room for their timestamps.
    pub fn dropped(&self) -> usize {
        self.profiler.dropped
    }

    /// The trace as a file.
    pub fn file(&self, adapter: &str) -> Result<Vec<u8>> {
        let trace = json!({ "traceEvents": events(&self.steps), "displayTimeUnit": "ms", "adapter": adapter });
        serde_json::to_vec(&trace).map_err(|error| Error::io("the profile", error.into()))
    }
}

/// One row of whole steps, and below it one of their groups; times count from the first.
fn events(steps: &[Vec<Span>]) -> Vec<Value> {
    let start = |spans: &[Span]| spans.iter().map(|s| s.start).fold(f64::INFINITY, f64::min);
    let zero = start(steps.first().map_or(&[], |spans| spans));
    let event = |name: &str, row: u32, ts: f64, dur: f64, step: usize| {
        let args = json!({ "step": step });
        json!({ "name": name, "ph": "X", "pid": 0, "tid": row, "ts": ts - zero, "dur": dur, "args": args })
    };
    let row =
        |tid: u32, name| json!({ "name": "thread_name", "ph": "M", "pid": 0, "tid": tid, "args": { "name": name } });
    let mut events = vec![row(0, "steps"), row(1, "groups")];
    for (index, spans) in steps.iter().enumerate().filter(|(_, spans)| !spans.is_empty()) {
        let first = start(spans);
        let end = spans.iter().map(|s| s.start + s.duration).fold(first, f64::max);
        events.push(event(&format!("step {index}"), 0, first, end - first, index));
        events.extend(spans.iter().map(|s| event(&s.label, 1, s.start, s.duration, index)));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_first_span() {
        let span = |label: &str, start, duration| Span { label: label.into(), start, duration };
        let steps = [vec![span("embed", 100.0, 5.0), span("block 0", 105.0, 20.0)], vec![span("embed", 130.0, 4.0)]];
        let events = events(&steps);
        let of = |name: &str| events.iter().find(|e| e["name"] == name).unwrap();
        assert_eq!((of("step 0")["ts"].as_f64(), of("step 0")["dur"].as_f64()), (Some(0.0), Some(25.0)));
        assert_eq!((of("block 0")["ts"].as_f64(), of("step 1")["ts"].as_f64()), (Some(5.0), Some(30.0)));
        assert_eq!(events.len(), 2 + 2 + 3);
    }
}
