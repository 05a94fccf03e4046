//! Ctrl-C: the work stops at the next point where nothing is half done. Where none comes soon, within a shader that is
//! compiled or a server that trickles, the program ends where it is.

use std::future::poll_fn;
use std::pin::pin;
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use foveate::{Error, Result};

use super::progress::Progress;
use super::report;

/// How long the work may take to stop by itself, which leaves a driver in order.
const GRACE: Duration = Duration::from_secs(1);

/// Whether the user asked to stop.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    raised: bool,
    /// Files are being written: the work itself stops, and takes them away.
    writing: bool,
}

impl Cancel {
    /// Listens for Ctrl-C. A second one ends the program at once. What is said in the end is JSON where `json` is set.
    pub fn on_interrupt(json: bool, progress: &Progress) -> Result<Self> {
        let cancel = Self(Arc::default());
        let (asked, progress) = (cancel.clone(), progress.clone());
        let handler = move || {
            if asked.raise() {
                exit(1);
            }
            let (asked, progress) = (asked.clone(), progress.clone());
            thread::spawn(move || asked.end_later(json, &progress));
        };
        match ctrlc::set_handler(handler) {
            Ok(()) => Ok(cancel),
            Err(error) => Err(Error::io("the handler of Ctrl-C", std::io::Error::other(error))),
        }
    }

    /// An error once the user asked to stop.
    pub fn check(&self) -> Result<()> {
        self.with(|state| if state.raised { Err(Error::Cancelled) } else { Ok(()) })
    }

    /// What `work` comes to, unless the user asks to stop while it gives way. It is dropped then.
    pub async fn unless<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        poll_fn(|context| match self.check() {
            Ok(()) => work.as_mut().poll(context),
            Err(cancelled) => Poll::Ready(Err(cancelled)),
        })
        .await
    }

    /// From here on files are written, and whoever writes them asks whether to stop. An error where that was asked
    /// before.
    pub fn begin_writing(&self) -> Result<()> {
        self.with(|state| match state.raised {
            true => Err(Error::Cancelled),
            false => {
                state.writing = true;
                Ok(())
            }
        })
    }

    /// Notes that the user asked to stop. Whether that was asked before.
    fn raise(&self) -> bool {
        self.with(|state| std::mem::replace(&mut state.raised, true))
    }

    /// Ends the program, unless it ends by itself.
    fn end_later(&self, json: bool, progress: &Progress) {
        thread::sleep(GRACE);
        if !self.with(|state| state.writing) {
            progress.done();
            report::failure(&Error::Cancelled, json);
            exit(1);
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn work_is_dropped_where_it_gives_way() {
        let cancel = Cancel(Arc::default());
        let polled = Cell::new(0);
        let endless = poll_fn(|context| {
            polled.set(polled.get() + 1);
            context.waker().wake_by_ref();
            if polled.get() == 3 {
                assert!(!cancel.raise() && cancel.raise());
            }
            Poll::<Result<()>>::Pending
        });
        let mut work = pin!(cancel.unless(endless));
        let mut poll = || work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        for _ in 0..3 {
            assert!(poll().is_pending());
        }
        assert!(matches!(poll(), Poll::Ready(Err(Error::Cancelled))));
        assert_eq!(polled.get(), 3);
        assert!(cancel.begin_writing().is_err());
    }
}
