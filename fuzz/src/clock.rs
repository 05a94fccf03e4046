//! How long an input takes: by the processor's time as well as by the clock, since the machine may have much other work.

use std::time::{Duration, Instant};

/// What this process has worked and waited since some moment.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    began: Instant,
    worked: Duration,
}

/// How long that was.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// The processor's time, of all threads together.
    pub worked: Duration,
    /// By the clock.
    pub waited: Duration,
}

impl Mark {
    pub fn now() -> Self {
        Self { began: Instant::now(), worked: worked() }
    }

    pub fn spent(&self) -> Spent {
        Spent { worked: worked().saturating_sub(self.worked), waited: self.began.elapsed() }
    }
}

/// The processor's time of this process.
#[cfg(unix)]
fn worked() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Elsewhere the clock stands for it.
#[cfg(not(unix))]
fn worked() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// The only test of this program that works for long: another one's work would be counted here.
    #[test]
    fn waiting_is_no_work() {
        const LONG: Duration = Duration::from_millis(300);
        let mark = Mark::now();
        std::thread::sleep(LONG);
        let Spent { worked, waited } = mark.spent();
        assert!(waited >= LONG && worked < LONG / 2, "{worked:?} of {waited:?}");

        let (mark, mut rounds) = (Mark::now(), 0_u64);
        while mark.spent().worked < LONG {
            rounds = std::hint::black_box(rounds + 1);
        }
        let Spent { worked, waited } = mark.spent();
        // A clock of coarse ticks may run ahead by one.
        assert!(rounds > 0 && worked >= LONG && waited >= LONG / 2, "{worked:?} of {waited:?}");
    }
}
