//! Seconds of plans on the device: all of them in turn, round after round, so that a machine that is busy for a while
//! slows all alike; then the median of each.

use std::time::{Duration, Instant};

use foveate::low_level::device::Plan;
use foveate::low_level::device::Program;
use foveate::{Device, Result};

/// What is shorter runs several times per timing: beside it, submitting and waiting would count.
const SHORTEST: Duration = Duration::from_millis(20);

/// Seconds of one run of each plan. `after_each` runs after every timing, the warm-up's too, and may stop the work.
pub async fn seconds(
    device: &Device,
    plans: &[Plan],
    rounds: usize,
    mut after_each: impl FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let mut runs = Vec::new();
    for plan in plans {
        runs.push(warm_up(device, plan).await?);
        after_each()?;
    }
    let mut all = vec![Vec::new(); plans.len()];
    for _ in 0..rounds {
        for ((plan, &runs), seconds) in plans.iter().zip(&runs).zip(&mut all) {
            seconds.push(time(device, plan, runs).await?.as_secs_f64() / f64::from(runs));
            after_each()?;
        }
    }
    Ok(all.into_iter().map(median).collect())
}

/// Runs a plan until [`SHORTEST`] has passed; how often that was.
async fn warm_up(device: &Device, plan: &Plan) -> Result<u32> {
    let start = Instant::now();
    let mut runs = 0;
    while start.elapsed() < SHORTEST {
        time(device, plan, 1).await?;
        runs += 1;
    }
    Ok(runs)
}

/// From submission to the end of the last of so many runs.
async fn time(device: &Device, plan: &Plan, runs: u32) -> Result<Duration> {
    let programs: Vec<&dyn Program> = (0..runs).map(|_| plan.program()).collect();
    let start = Instant::now();
    device.run(&programs)?;
    device.wait().await?;
    Ok(start.elapsed())
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n.is_multiple_of(2) => 0.5 * (values[middle - 1] + values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![9.0]), 9.0);
        assert_eq!(median(vec![3.0, 100.0, 1.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 100.0, 2.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }
}
