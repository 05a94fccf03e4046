//! What was found, as a table and as JSON.

use serde_json::{Value, json};

use super::candidate::Candidate;
use super::groups::Groups;
use crate::table;

/// One policy's figures.
#[derive(Debug)]
pub struct Row {
    pub candidate: Candidate,
    /// Of a step, the mean over all steps.
    pub seconds: f64,
    /// None where the adapter has no timestamps, or a step has more groups than fit.
    pub groups: Option<Groups>,
}

/// All figures; the first row is dense.
#[derive(Debug)]
pub struct Outcome {
    pub rows: Vec<Row>,
}

/// A row held against dense.
struct Against {
    speedup: f64,
    /// What it would be, were time proportional to FLOPs.
    ideal: f64,
}

impl Outcome {
    fn against(&self, row: &Row) -> Against {
        let dense = &self.rows[0];
        Against { speedup: dense.seconds / row.seconds, ideal: dense.candidate.flops / row.candidate.flops }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            let Against { speedup, ideal } = self.against(row);
            json!({
                "policy": row.candidate.policy,
                "ratio": row.candidate.ratio,
                "flops": row.candidate.flops.round() as u64,
                "seconds": row.seconds,
                "speedup": speedup,
                "ideal_speedup": ideal,
                "realised": speedup / ideal,
                "overhead_share": row.groups.as_ref().map(Groups::overhead),
            })
        };
        self.rows.iter().map(row).collect()
    }

    /// A line for each policy.
    pub fn table(&self) -> String {
        let head = ["policy", "saved", "GFLOP", "seconds", "speed-up", "ideal", "realised", "routing"];
        let mut lines = vec![head.map(String::from).to_vec()];
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let unknown = || "–".to_owned();
        for row in &self.rows {
            let Against { speedup, ideal } = self.against(row);
            lines.push(vec![
                row.candidate.policy.clone(),
                row.candidate.ratio.map_or_else(unknown, percent),
                format!("{:.3}", row.candidate.flops / 1e9),
                format!("{:.5}", row.seconds),
                format!("{speedup:.3}"),
                format!("{ideal:.3}"),
                format!("{:.3}", speedup / ideal),
                row.groups.as_ref().map_or_else(unknown, |groups| percent(groups.overhead())),
            ]);
        }
        table::lines(&lines)
    }

    /// Milliseconds by group of the profile, a column for each policy; nothing where they are not known.
    pub fn groups(&self) -> Option<String> {
        let columns: Vec<&Groups> = self.rows.iter().map(|row| row.groups.as_ref()).collect::<Option<_>>()?;
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in columns.iter().flat_map(|groups| &groups.0) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let line = |name: &str, of: &dyn Fn(&Groups) -> f64| {
            let cells = columns.iter().map(|groups| format!("{:.2}", 1e3 * of(groups)));
            [name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
        };
        let mut lines = vec![vec!["ms by group".to_owned()]];
        lines[0].extend(self.rows.iter().map(|row| row.candidate.policy.clone()));
        lines.extend(names.iter().map(|name| line(name, &|groups| groups.of(name))));
        lines.push(line("all", &Groups::sum));
        Some(table::lines(&lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(policy: &'static str, flops: f64, seconds: f64, overhead: Option<f64>) -> Row {
        let ratio = (policy != "dense").then_some(0.5);
        let groups = overhead.map(|seconds| Groups(vec![("mlp".into(), 0.03 - seconds), ("policy".into(), seconds)]));
        Row { candidate: Candidate { policy: policy.into(), ratio, flops, shares: vec![1.0] }, seconds, groups }
    }

    #[test]
    fn rows_are_held_against_dense() {
        let outcome = Outcome { rows: vec![row("dense", 4e9, 0.3, Some(0.0)), row("mod", 2e9, 0.2, Some(0.003))] };
        let json = outcome.json();
        let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;
        assert!(json[0]["ratio"].is_null() && near(&json[0]["realised"], 1.0));
        assert!(near(&json[1]["speedup"], 1.5) && near(&json[1]["ideal_speedup"], 2.0));
        assert!(near(&json[1]["realised"], 0.75) && near(&json[1]["overhead_share"], 0.1));
        let table = outcome.table();
        assert!(table.lines().nth(2).unwrap().ends_with("1.500  2.000     0.750   10.0 %"), "{table}");
        assert!(outcome.groups().unwrap().ends_with("all          30.00  30.00"), "{}", outcome.groups().unwrap());
    }

    #[test]
    fn without_timestamps_shares_are_unknown() {
        let outcome = Outcome { rows: vec![row("dense", 4e9, 0.3, None)] };
        assert!(outcome.json()[0]["overhead_share"].is_null() && outcome.groups().is_none());
        assert!(outcome.table().ends_with('–'));
    }
}
