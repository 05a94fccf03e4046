//! Runs a target on one input within its budget of memory and time. What goes beyond ends the process: the driver,
//! which is another one, finds the input where it was noted down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foveate_fuzz::outcome;
use foveate_fuzz::targets::Target;

use crate::ALLOCATOR;

/// The longest that one input may take, in milliseconds. Nothing that is fuzzed takes a hundredth; the machine may have
/// much other work.
const LONGEST: u64 = 60_000;

/// What is said then.
pub const SLOW: &str = "an input took longer than";

/// When the present input began, in milliseconds after the watch's start; 0: there is none.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// Ends the process when an input takes too long.
pub fn watch() -> Instant {
    let start = Instant::now();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let began = BEGAN.load(Ordering::Relaxed);
            if began > 0 && millis(start).saturating_sub(began) > LONGEST {
                eprintln!("{SLOW} {} s", LONGEST / 1000);
                std::process::abort();
            }
        }
    });
    start
}

/// Runs `target` on `data`, which is noted down in the file `current` before. Gives what came of it, or nothing where
/// it panicked.
pub fn run(target: &Target, data: &[u8], current: &Path, start: Instant) -> Option<u64> {
    if let Err(error) = std::fs::write(current, data) {
        eprintln!("{}: {error}", current.display());
        std::process::abort();
    }
    // Beyond the limit an allocation fails, and most programs abort of that.
    let limited = ALLOCATOR.set_limit(ALLOCATOR.allocated().saturating_add(target.budget));
    BEGAN.store(millis(start).max(1), Ordering::Relaxed);
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    BEGAN.store(0, Ordering::Relaxed);
    let freed = ALLOCATOR.set_limit(usize::MAX);
    let said = outcome::take();
    (ran.is_ok() && limited.is_ok() && freed.is_ok()).then_some(said)
}

fn millis(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64
}
