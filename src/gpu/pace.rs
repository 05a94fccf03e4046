//! How much work fits a budget of time, learnt from how long earlier slices took.

use std::time::Duration;

/// A device's measured speed. It starts low and is corrected by every slice that was timed (`stopwatch.rs`): by the
/// device's own timestamps where it has them, else by the clock. The host reports nothing.
#[derive(Debug)]
pub(super) struct Pace {
    /// Cost (see `cost.rs`) per second.
    speed: f64,
    /// Whether it was measured, or is a guess.
    measured: bool,
}

/// The share of a budget that is filled: speeds differ from kernel to kernel, and from moment to moment.
const FILL: f64 = 0.8;
/// The weight of a measurement that is slower than what was believed, and of one that is faster: a frame that is late
/// costs more than a slice that could have been larger.
const WEIGHTS: [f64; 2] = [0.6, 0.2];
/// How far one measurement may lie from what was believed; further off it counts as so far. What was waited for may
/// have been another program's work.
const FURTHEST: f64 = 4.0;
/// What took less is believed to have taken so long, and proves only that the device is fast.
const SHORTEST: Duration = Duration::from_micros(100);

impl Pace {
    /// Before anything was measured.
    pub fn new(speed: f64) -> Self {
        Self { speed, measured: false }
    }

    /// The cost that fits `budget`.
    pub fn allowance(&self, budget: Duration) -> f64 {
        FILL * self.speed * budget.as_secs_f64()
    }

    /// A slice of this cost took so long.
    pub fn measured(&mut self, cost: f64, took: Duration) {
        let found = cost / took.max(SHORTEST).as_secs_f64();
        if took < SHORTEST && found < self.speed {
            return;
        }
        let found = found.clamp(self.speed / FURTHEST, self.speed * FURTHEST);
        // The first measurements replace a guess, as far as they are let.
        let weight = if self.measured { WEIGHTS[usize::from(found > self.speed)] } else { 1.0 };
        self.measured |= found > self.speed / FURTHEST && found < self.speed * FURTHEST;
        self.speed += weight * (found - self.speed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(10);

    /// Slices on a device of this speed, each as large as the budget allows.
    fn slices(pace: &mut Pace, speed: f64, count: usize) {
        for _ in 0..count {
            let cost = pace.allowance(BUDGET);
            pace.measured(cost, Duration::from_secs_f64(cost / speed));
        }
    }

    #[test]
    fn it_finds_the_speed_of_a_device() {
        for speed in [1e8, 3e9, 7e11] {
            let mut pace = Pace::new(5e9);
            slices(&mut pace, speed, 12);
            let share = pace.allowance(BUDGET) / (speed * BUDGET.as_secs_f64());
            assert!((0.75..0.85).contains(&share), "{share} at {speed:e}");
        }
    }

    #[test]
    fn one_slice_that_waited_for_others_changes_little() {
        let mut pace = Pace::new(5e9);
        slices(&mut pace, 5e9, 3);
        let before = pace.allowance(BUDGET);
        pace.measured(before, Duration::from_secs(60));
        assert!((0.5..0.6).contains(&(pace.allowance(BUDGET) / before)));
        slices(&mut pace, 5e9, 12);
        assert!((0.95..1.05).contains(&(pace.allowance(BUDGET) / before)));
    }

    #[test]
    fn what_takes_no_time_shows_that_a_device_is_fast_and_no_more() {
        let mut pace = Pace::new(5e9);
        let before = pace.allowance(BUDGET);
        pace.measured(1e5, Duration::ZERO);
        assert_eq!(pace.allowance(BUDGET), before);
        pace.measured(1e9, Duration::ZERO);
        assert!((3.9..4.1).contains(&(pace.allowance(BUDGET) / before)));
    }
}
