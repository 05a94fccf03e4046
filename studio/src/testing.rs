//! What the tests of this crate share, and the desktop app's.

use std::time::{Duration, Instant};

/// How long the thread works on something: other work of the machine, which may come between, does not count where the
/// system tells them apart.
pub fn busy(work: impl FnOnce()) -> Duration {
    let clock = Instant::now();
    let before = on_processor();
    work();
    match (before, on_processor()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => clock.elapsed(),
    }
}

/// How long this thread has been on a processor. Only Linux tells it without unsafe code.
fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
