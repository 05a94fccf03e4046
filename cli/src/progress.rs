//! Progress bars on stderr; none where it is no terminal.

use std::time::Duration;

use foveate::low_level::text::printable;
use indicatif::{ProgressBar, ProgressStyle};

use super::report;

const BYTES: &str = "{prefix:>14} {wide_bar} {bytes} of {total_bytes}";
const STEPS: &str = "{prefix:>14} {wide_bar} {pos} of {len}, {eta} left";
const BUSY: &str = "{prefix:>14} {spinner} {elapsed}";

/// The stages of one run, one bar at a time.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// The component that is being loaded.
    component: String,
}

impl Progress {
    /// Nothing to show yet.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden(), component: String::new() }
    }

    /// Weights arrive, component by component.
    pub fn loading(&mut self, at: foveate::Progress<'_>) {
        if self.component != at.component {
            at.component.clone_into(&mut self.component);
            self.show(ProgressBar::new(at.total), &format!("load {}", at.component.replace('_', " ")), BYTES);
        }
        self.bar.set_position(at.done);
    }

    /// Something of unknown length is under way.
    pub fn busy(&mut self, stage: &str) {
        self.show(ProgressBar::new_spinner(), stage, BUSY);
        self.bar.enable_steady_tick(Duration::from_millis(120));
    }

    /// `of` steps follow.
    pub fn steps(&mut self, of: usize) {
        self.show(ProgressBar::new(of as u64), "step", STEPS);
    }

    /// One of them is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// One line that stays.
    pub fn warn(&self, warning: &str) {
        self.bar.suspend(|| report::note(&format!("warning: {}", printable(warning))));
    }

    /// Nothing is left to show.
    pub fn done(&mut self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self, bar: ProgressBar, prefix: &str, template: &str) {
        self.bar.finish_and_clear();
        // A template that cannot be read leaves the default style, which shows the same with less grace.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(prefix.to_owned());
        self.bar = bar;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_can_be_read() {
        for template in [BYTES, STEPS, BUSY] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
