//! Asks the device what is done, for as long as somebody waits for it.
//!
//! wgpu calls back when a device is polled, and in no other way. A poll that waits would block the executor of whoever
//! awaits, and hold locks that a renderer on the same device needs. So a thread asks without waiting, again and again
//! with short pauses. It is there only while something is awaited. A browser's event loop needs none.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::shared::lock;

/// Asks by a thread while there is an [`Attendance`].
#[derive(Clone)]
pub(super) struct Poller(Arc<Inner>);

struct Inner {
    /// Asks the device.
    ask: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Who waits.
    waiting: usize,
    /// Goes up with each who begins to wait: what was just handed over may be done at once.
    began: u64,
    /// Whether the thread is there.
    running: bool,
}

/// The pauses between two questions: short at first, for what takes little.
const PAUSES: [Duration; 2] = [Duration::from_micros(20), Duration::from_micros(300)];
/// How long the thread stays when nobody waits any more.
const LINGER: Duration = Duration::from_millis(50);

/// Somebody waits, until it is dropped.
pub(super) struct Attendance(Poller);

impl Poller {
    pub fn new(ask: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { ask: Box::new(ask), state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Asks until the result is dropped.
    pub fn attend(&self) -> Attendance {
        let mut state = lock(&self.0.state);
        (state.waiting, state.began) = (state.waiting + 1, state.began + 1);
        if !state.running {
            state.running = true;
            let own = self.clone();
            std::thread::spawn(move || own.poll());
        }
        drop(state);
        self.0.changed.notify_one();
        Attendance(self.clone())
    }

    fn poll(&self) {
        let (mut pause, mut began) = (PAUSES[0], 0);
        loop {
            {
                let state = lock(&self.0.state);
                let idle = self.0.changed.wait_timeout_while(state, LINGER, |state| state.waiting == 0);
                let mut state = idle.unwrap_or_else(PoisonError::into_inner).0;
                if state.waiting == 0 {
                    state.running = false;
                    return;
                }
                if state.began != began {
                    (pause, began) = (PAUSES[0], state.began);
                }
            }
            (self.0.ask)();
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(PAUSES[1]);
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        lock(&self.0.0.state).waiting -= 1;
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poller")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn it_asks_while_somebody_waits_and_not_after() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let poller = Poller::new(move || _ = count.fetch_add(1, Ordering::SeqCst));
        for _ in 0..2 {
            let before = asked.load(Ordering::SeqCst);
            let (one, two) = (poller.attend(), poller.attend());
            drop(one);
            while asked.load(Ordering::SeqCst) < before + 5 {
                std::thread::yield_now();
            }
            drop(two);
            // The thread has gone, and comes back for the second round.
            while lock(&poller.0.state).running {
                std::thread::yield_now();
            }
        }
    }
}
