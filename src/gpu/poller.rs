//! Asks the device what is done, for as long as somebody waits for it.
//!
//! wgpu calls back when a device is polled, and in no other way. A poll that waits would block the executor of whoever
//! awaits, and hold locks that a renderer on the same device needs. So a thread asks without waiting, again and again
//! with short pauses. It is there only while something is awaited. A browser's event loop needs none.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::shared::lock;

/// Asks by a thread while there is an [`Attendance`]. Cloning shares it; with the last clone the thread ends.
#[derive(Clone)]
pub(super) struct Poller(Arc<Owner>);

struct Owner {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

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
    /// Whether it has to go.
    closed: bool,
}

/// The pauses between two questions: short at first, for what takes little.
const PAUSES: [Duration; 2] = [Duration::from_micros(20), Duration::from_micros(300)];
/// How long the thread stays when nobody waits any more.
const LINGER: Duration = Duration::from_millis(50);

/// Somebody waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Attendance(Poller);

impl Poller {
    pub fn new(ask: impl Fn() + Send + Sync + 'static) -> Self {
        let inner = Inner { ask: Box::new(ask), state: Mutex::default(), changed: Condvar::new() };
        Self(Arc::new(Owner { inner: Arc::new(inner), thread: Mutex::default() }))
    }

    /// Asks until the result is dropped.
    pub fn attend(&self) -> Attendance {
        let inner = &self.0.inner;
        let mut state = lock(&inner.state);
        (state.waiting, state.began) = (state.waiting + 1, state.began + 1);
        let mut before = None;
        if !state.running {
            state.running = true;
            let own = inner.clone();
            before = lock(&self.0.thread).replace(thread::spawn(move || own.poll()));
        }
        drop(state);
        inner.changed.notify_one();
        before.into_iter().for_each(end);
        Attendance(self.clone())
    }
}

impl Inner {
    fn poll(&self) {
        let (mut pause, mut began) = (PAUSES[0], 0);
        loop {
            {
                let idle = |state: &mut State| state.waiting == 0 && !state.closed;
                let waited = self.changed.wait_timeout_while(lock(&self.state), LINGER, idle);
                let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
                if state.waiting == 0 || state.closed {
                    state.running = false;
                    return;
                }
                if state.began != began {
                    (pause, began) = (PAUSES[0], state.began);
                }
            }
            (self.ask)();
            thread::sleep(pause);
            pause = (pause * 3 / 2).min(PAUSES[1]);
        }
    }
}

/// Waits for the thread: the device that it asks must not end there, while the program ends elsewhere.
impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.inner.state).closed = true;
        self.inner.changed.notify_one();
        lock(&self.thread).take().into_iter().for_each(end);
    }
}

/// Waits for a thread that ends.
fn end(thread: JoinHandle<()>) {
    // A callback of the device, on that thread, may have held the last clone. Had it panicked, it would have said so.
    if thread.thread().id() != thread::current().id() {
        _ = thread.join();
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        lock(&self.0.0.inner.state).waiting -= 1;
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
                thread::yield_now();
            }
            drop(two);
            // The thread has gone, and comes back for the second round.
            while lock(&poller.0.inner.state).running {
                thread::yield_now();
            }
        }

        // It does not outlive the last clone, and nor does what it asks.
        drop(poller.attend());
        drop(poller);
        assert_eq!(Arc::strong_count(&asked), 1);
    }
}
