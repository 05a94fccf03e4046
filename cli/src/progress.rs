//! Progress bars on stderr; none where it is no terminal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foveate::low_level::text::printable;
use indicatif::{ProgressBar, ProgressStyle};

use super::report;

const BYTES: &str = "{prefix:>14} {wide_bar} {bytes} of {total_bytes}";
const STEPS: &str = "{prefix:>14} {wide_bar} {pos} of {len}, {eta} left";
const BUSY: &str = "{prefix:>14} {spinner} {elapsed}";

/// The stages of one run, one bar at a time. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<Shown>>);

#[derive(Debug)]
struct Shown {
    bar: ProgressBar,
    /// The component that is being loaded.
    component: String,
}

impl Progress {
    /// Nothing to show yet.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Shown { bar: ProgressBar::hidden(), component: String::new() })))
    }

    /// Weights arrive, component by component.
    pub fn loading(&self, at: foveate::Progress<'_>) {
        let mut shown = self.shown();
        if shown.component != at.component {
            at.component.clone_into(&mut shown.component);
            shown.show(ProgressBar::new(at.total), &format!("load {}", at.component.replace('_', " ")), BYTES);
        }
        shown.bar.set_position(at.done);
    }

    /// Something of unknown length is under way.
    pub fn busy(&self, stage: &str) {
        let mut shown = self.shown();
        shown.show(ProgressBar::new_spinner(), stage, BUSY);
        shown.bar.enable_steady_tick(Duration::from_millis(120));
    }

    /// `of` steps follow.
    pub fn steps(&self, of: usize) {
        self.shown().show(ProgressBar::new(of as u64), "step", STEPS);
    }

    /// One of them is done.
    pub fn step(&self) {
        self.shown().bar.inc(1);
    }

    /// One line that stays.
    pub fn warn(&self, warning: &str) {
        self.shown().bar.suspend(|| report::note(&format!("warning: {}", printable(warning))));
    }

    /// Nothing is left to show.
    pub fn done(&self) {
        self.shown().bar.finish_and_clear();
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
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
