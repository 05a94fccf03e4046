//! A variant in the race: its program, and the times that it took.

use std::time::Duration;

use crate::Result;
use crate::device::{Device, Memory, Plan, Program, Store};
use crate::graph::Graph;
use crate::shared::Instant;

/// One variant of a case.
#[derive(Debug)]
pub(super) struct Rival {
    pub name: String,
    plan: Plan,
    /// Seconds of one run, by round.
    seconds: Vec<f64>,
}

/// What is shorter runs several times per timing: beside it, submitting and waiting would count.
const SHORTEST: Duration = Duration::from_millis(4);
const MOST_RUNS: u32 = 64;

impl Rival {
    /// Compiles `graph` for a device that takes the variant `name`.
    pub async fn new(device: &Device, graph: &Graph, store: &Store, name: &str) -> Result<Self> {
        let plan = Plan::compile(device, graph, store, Memory::Separate).await?;
        Ok(Self { name: name.into(), plan, seconds: Vec::new() })
    }

    /// Runs it once, to its end.
    pub async fn run(&self, device: &Device) -> Result<()> {
        self.plan.run_to_end(device).await
    }

    /// Runs so many times that a timing is long enough. The first run warms up.
    pub async fn runs(&self, device: &Device) -> Result<u32> {
        self.time(device, 1).await?;
        let once = self.time(device, 1).await?;
        Ok((SHORTEST.as_secs_f64() / once.as_secs_f64().max(1e-9)).ceil().clamp(1.0, MOST_RUNS.into()) as u32)
    }

    /// One more round.
    pub async fn round(&mut self, device: &Device, runs: u32) -> Result<()> {
        let seconds = self.time(device, runs).await?.as_secs_f64() / f64::from(runs);
        self.seconds.push(seconds);
        Ok(())
    }

    /// The median of its rounds.
    pub fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::INFINITY,
            n if n.is_multiple_of(2) => 0.5 * (sorted[middle - 1] + sorted[middle]),
            _ => sorted[middle],
        }
    }

    async fn time(&self, device: &Device, runs: u32) -> Result<Duration> {
        let programs: Vec<&dyn Program> = (0..runs).map(|_| self.plan.program()).collect();
        let start = Instant::now();
        device.run(&programs)?;
        device.wait().await?;
        Ok(start.elapsed())
    }
}
