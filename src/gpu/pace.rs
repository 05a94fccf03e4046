//! How much work fits a budget of time, learnt from how long earlier slices took.
//!
//! Three things are learnt. The device's *speed* is what all its kernels have in common: it follows every slice. A
//! kernel's *factor* is how far its estimate (`cost.rs`) is off beside the others': it changes slowly, by the kernel's
//! share in each slice that took more or less than slices usually do. And how much of a budget is *filled* depends on how
//! often slices take much longer than believed, whatever the reason: other programs, or clocks that change.

use std::collections::HashMap;
use std::time::Duration;

use super::cost::Kernel;

/// What the slices of a device have shown (`stopwatch.rs`): by the device's own timestamps where it has them, else by
/// the clock. The host reports nothing.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Cost (see `cost.rs`) per second. It starts low.
    speed: f64,
    /// Whether it was measured, or is a guess.
    measured: bool,
    /// What the cost of each kernel is multiplied by.
    factors: HashMap<Kernel, f64>,
    /// The logarithm of how many times as long as believed slices usually take. The speed is believed rather too low, so
    /// that they take less; factors that followed that would fall for ever.
    usual: f64,
    /// The share of a budget that is filled.
    fill: f64,
}

/// The least and the most of a budget that is filled.
const FILL: [f64; 2] = [0.4, 0.8];
/// A slice is late that takes so many budgets: less than the two that a host may count on.
const LATE: f64 = 1.6;
/// What a late slice makes of the fill, and what any other does. They balance where one in a hundred is late.
const REFILL: [f64; 2] = [0.9, 1.001];
/// The weight of a measurement that is slower than what was believed, and of one that is faster: a frame that is late
/// costs more than a slice that could have been larger.
const WEIGHTS: [f64; 2] = [0.6, 0.2];
/// The weight of a measurement for the factor of a kernel that the slice has nothing but.
const KERNEL_WEIGHT: f64 = 0.1;
/// The weight of a measurement for what slices usually take.
const USUAL_WEIGHT: f64 = 0.05;
/// The least and the greatest factor.
const FACTORS: [f64; 2] = [1.0 / 64.0, 64.0];
/// How far one measurement may lie from what was believed; further off it counts as so far. What was waited for may
/// have been another program's work.
const FURTHEST: f64 = 4.0;
/// What took less is believed to have taken so long, and proves only that the device is fast.
const SHORTEST: Duration = Duration::from_micros(100);

impl Pace {
    /// Before anything was measured.
    pub fn new(speed: f64) -> Self {
        Self { speed, measured: false, factors: HashMap::new(), usual: 0.0, fill: FILL[1] }
    }

    /// The cost that fits `budget`.
    pub fn allowance(&self, budget: Duration) -> f64 {
        self.fill * self.speed * budget.as_secs_f64()
    }

    /// What the estimated cost of a kernel is multiplied by.
    pub fn factor(&self, kernel: Kernel) -> f64 {
        self.factors.get(&kernel).copied().unwrap_or(1.0)
    }

    /// A slice of `budget` took so long; `by_kernel`: what each kernel in it was believed to cost, by its factor.
    pub fn measured(&mut self, by_kernel: &[(Kernel, f64)], budget: Duration, took: Duration) {
        let cost: f64 = by_kernel.iter().map(|(_, cost)| cost).sum();
        let believed = cost / self.speed;
        let found = took.max(SHORTEST).as_secs_f64();
        if took < SHORTEST && found > believed {
            return;
        }
        let ratio = (found / believed).clamp(FURTHEST.recip(), FURTHEST);
        if !self.measured {
            // The first measurements replace a guess, as far as they are let.
            self.speed /= ratio;
            self.measured = ratio > FURTHEST.recip() && ratio < FURTHEST;
            return;
        }
        // One portion may be more than a budget has room for. That says nothing.
        if believed <= budget.as_secs_f64() {
            let late = took.as_secs_f64() > LATE * budget.as_secs_f64();
            self.fill = (self.fill * REFILL[usize::from(!late)]).clamp(FILL[0], FILL[1]);
        }
        let rest = ratio / self.correct(by_kernel, cost, ratio / self.usual.exp());
        self.usual += USUAL_WEIGHT * (ratio.ln() - self.usual);
        let weight = WEIGHTS[usize::from(rest < 1.0)];
        self.speed += weight * (self.speed / rest - self.speed);
    }

    /// Corrects the factors of the kernels in a slice of this cost that took `ratio` times as long as slices usually do;
    /// returns how many times as long it is believed to take from here on. A kernel that was never met has its factor from the
    /// first slice that it is in.
    fn correct(&mut self, by_kernel: &[(Kernel, f64)], cost: f64, ratio: f64) -> f64 {
        let corrected = by_kernel.iter().map(|&(kernel, part)| {
            let weight = if self.factors.contains_key(&kernel) { KERNEL_WEIGHT } else { 1.0 };
            let factor = self.factors.entry(kernel).or_insert(1.0);
            let before = *factor;
            *factor = (before * ratio.powf(weight * part / cost)).clamp(FACTORS[0], FACTORS[1]);
            part * *factor / before
        });
        corrected.sum::<f64>() / cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(10);
    const KERNEL: Kernel = ("linear", "main");
    const OTHER: Kernel = ("attention", "main");

    /// A slice of one kernel, as large as the budget allows, on a device that runs so much of its estimated cost in a
    /// second. Returns how many budgets it took.
    fn slice(pace: &mut Pace, kernel: Kernel, speed: f64) -> f64 {
        let cost = pace.allowance(BUDGET);
        let took = Duration::from_secs_f64(cost / pace.factor(kernel) / speed);
        pace.measured(&[(kernel, cost)], BUDGET, took);
        took.as_secs_f64() / BUDGET.as_secs_f64()
    }

    /// Slices of one kernel.
    fn slices(pace: &mut Pace, speed: f64, count: usize) {
        (0..count).for_each(|_| _ = slice(pace, KERNEL, speed));
    }

    #[test]
    fn it_finds_the_speed_of_a_device() {
        for speed in [1e8, 3e9, 7e11] {
            let mut pace = Pace::new(5e9);
            slices(&mut pace, speed, 16);
            let share = slice(&mut pace, KERNEL, speed);
            assert!((0.7..0.85).contains(&share), "{share} at {speed:e}");
        }
    }

    #[test]
    fn it_finds_what_each_kernel_takes() {
        let speeds = [(KERNEL, 1e10), (OTHER, 2e9)];
        let mut pace = Pace::new(5e9);
        for _ in 0..20 {
            speeds.iter().for_each(|&(kernel, speed)| (0..3).for_each(|_| _ = slice(&mut pace, kernel, speed)));
        }
        // The first slice of either, after three of the other, fills the budget, too.
        for _ in 0..2 {
            for (kernel, speed) in speeds {
                let share = slice(&mut pace, kernel, speed);
                assert!((0.7..0.9).contains(&share), "{share} of {kernel:?}");
                (0..2).for_each(|_| _ = slice(&mut pace, kernel, speed));
            }
        }
    }

    #[test]
    fn it_finds_what_a_kernel_takes_that_never_runs_alone() {
        let speeds = [(KERNEL, 1e10), (OTHER, 2e9)];
        let mut pace = Pace::new(5e9);
        let mut took = |shares: [f64; 2]| {
            let cost = pace.allowance(BUDGET);
            let by_kernel = [0, 1].map(|n| (speeds[n].0, shares[n] * cost));
            let seconds = [0, 1].map(|n| by_kernel[n].1 / pace.factor(speeds[n].0) / speeds[n].1);
            let took = Duration::from_secs_f64(seconds.iter().sum());
            pace.measured(&by_kernel, BUDGET, took);
            took.as_secs_f64() / BUDGET.as_secs_f64()
        };
        (0..100).for_each(|_| _ = (took([0.75, 0.25]), took([0.25, 0.75])));
        for shares in [[0.75, 0.25], [0.25, 0.75]] {
            let share = took(shares);
            assert!((0.7..0.9).contains(&share), "{share} with {shares:?}");
        }
    }

    #[test]
    fn factors_stay_where_they_are_however_long_it_runs() {
        let speeds = [(KERNEL, 1e10), (OTHER, 1e9)];
        let mut pace = Pace::new(5e9);
        // Speeds go up and down, by which the speed is believed too low.
        for number in 0..20_000_i32 {
            let (kernel, speed) = speeds[(number / 3 % 2) as usize];
            slice(&mut pace, kernel, speed * (0.3 * f64::from(number % 7 - 3)).exp2());
        }
        let [one, other] = [KERNEL, OTHER].map(|kernel| pace.factor(kernel));
        assert!((7.0..14.0).contains(&(other / one)), "{one} {other}");
        assert!(one > 2.0 * FACTORS[0] && 2.0 * other < FACTORS[1], "{one} {other}");
    }

    #[test]
    fn less_is_filled_where_slices_are_often_late() {
        let mut pace = Pace::new(5e9);
        slices(&mut pace, 5e9, 3);
        let mut late = [0; 2];
        for number in 0..4000 {
            // Each twentieth takes 2.7 times as long as the others.
            let slow = number % 20 == 19;
            let took = slice(&mut pace, KERNEL, if slow { 5e9 / 2.7 } else { 5e9 });
            late[number / 2000] += usize::from(took > 2.0);
        }
        assert!(late[1] < 10, "{late:?}");
        assert!((FILL[0]..FILL[1]).contains(&pace.fill), "{}", pace.fill);
        slices(&mut pace, 5e9, 1000);
        assert_eq!(pace.fill, FILL[1], "it does not come back");
    }

    #[test]
    fn one_slice_that_waited_for_others_changes_little() {
        let mut pace = Pace::new(5e9);
        slices(&mut pace, 5e9, 3);
        let before = pace.allowance(BUDGET) / pace.factor(KERNEL);
        pace.measured(&[(KERNEL, pace.allowance(BUDGET))], BUDGET, Duration::from_secs(60));
        let after = pace.allowance(BUDGET) / pace.factor(KERNEL);
        assert!((0.35..0.6).contains(&(after / before)), "{}", after / before);
        slices(&mut pace, 5e9, 200);
        let after = pace.allowance(BUDGET) / pace.factor(KERNEL);
        assert!((0.95..1.05).contains(&(after / before)), "{}", after / before);
    }

    #[test]
    fn what_takes_no_time_shows_that_a_device_is_fast_and_no_more() {
        let mut pace = Pace::new(5e9);
        let before = pace.allowance(BUDGET);
        pace.measured(&[(KERNEL, 1e5)], BUDGET, Duration::ZERO);
        assert_eq!(pace.allowance(BUDGET), before);
        pace.measured(&[(KERNEL, 1e9)], BUDGET, Duration::ZERO);
        assert!((3.9..4.1).contains(&(pace.allowance(BUDGET) / before)));
    }
}
