//! Runs a target on one input within its budget of memory and time. What goes beyond ends the process: the driver,
//! which is another one, finds the input where it was noted down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foveate_fuzz::outcome;
use foveate_fuzz::targets::Target;

use crate::ALLOCATOR;
use crate::clock::{Mark, Spent};

/// The longest that one input may take. Nothing that is fuzzed takes a hundredth.
const LONGEST: Duration = Duration::from_secs(60);
/// When an input hangs, that works less than [`LONGEST`]: on a machine with much other work it waits most of the time.
const HANGS: Duration = Duration::from_secs(1200);

/// When the present input began, if there is one.
static BEGAN: Mutex<Option<Mark>> = Mutex::new(None);

/// Ends the process when an input takes too long.
pub fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let began = *BEGAN.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(fault) = began.and_then(|began| fault(began.spent())) {
                eprintln!("{fault}");
                std::process::abort();
            }
        }
    });
}

/// What is wrong with an input that has taken so long. Several threads work more than passes on the clock, and a busy
/// machine lets more pass than is worked: an input is slow by both.
fn fault(Spent { worked, waited }: Spent) -> Option<String> {
    if worked > LONGEST && waited > LONGEST {
        Some(format!("an input took longer than {} s", LONGEST.as_secs()))
    } else if waited > HANGS {
        Some(format!("an input hangs: it ended not within {} s", HANGS.as_secs()))
    } else {
        None
    }
}

/// Runs `target` on `data`, which is noted down in the file `current` before. Gives what came of it, or nothing where
/// it panicked.
pub fn run(target: &Target, data: &[u8], current: &Path) -> Option<u64> {
    if let Err(error) = std::fs::write(current, data) {
        eprintln!("{}: {error}", current.display());
        std::process::abort();
    }
    // Beyond the limit an allocation fails, and most programs abort of that.
    let limited = ALLOCATOR.set_limit(ALLOCATOR.allocated().saturating_add(target.budget));
    began(Some(Mark::now()));
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    began(None);
    let freed = ALLOCATOR.set_limit(usize::MAX);
    let said = outcome::take();
    (ran.is_ok() && limited.is_ok() && freed.is_ok()).then_some(said)
}

fn began(mark: Option<Mark>) {
    *BEGAN.lock().unwrap_or_else(PoisonError::into_inner) = mark;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_slow_by_its_own_work_only() {
        let of =
            |worked, waited| fault(Spent { worked: Duration::from_secs(worked), waited: Duration::from_secs(waited) });
        // Beside much other work; by many threads; within its time.
        for (worked, waited) in [(5, 900), (600, 10), (59, 59)] {
            assert_eq!(of(worked, waited), None, "{worked} s of {waited} s");
        }
        assert!(of(61, 61).is_some_and(|fault| fault.contains("took longer than 60 s")));
        assert!(of(0, 1201).is_some_and(|fault| fault.contains("hangs")));
    }
}
