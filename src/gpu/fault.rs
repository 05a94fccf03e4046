//! What goes wrong where no call can return it: errors that no scope caught, and the loss of the device.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use crate::shared::lock;
use crate::{Error, Result};

/// A device's faults. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The first error no scope caught, until [`Fault::check`] hands it on.
    error: Option<Error>,
    /// Why the device is gone. That it stays.
    lost: Option<String>,
    /// Who is waiting for the device, each wait under a number of its own: a task may have several.
    waiting: Vec<(u64, Waker)>,
    /// The number of the next wait.
    next: u64,
}

impl Fault {
    /// Keeps an error, unless an earlier one is still unread.
    pub(super) fn note(&self, error: Error) {
        self.state().error.get_or_insert(error);
    }

    /// The device is gone: whoever waits for it receives the loss.
    pub(super) fn lose(&self, why: String) {
        let mut state = self.state();
        state.lost.get_or_insert(why);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// The loss of the device, every time; any other error once.
    pub(super) fn check(&self) -> Result<()> {
        let mut state = self.state();
        match state.loss().or_else(|| state.error.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The loss of the device, every time.
    pub(super) fn lost(&self) -> Result<()> {
        self.state().loss().map_or(Ok(()), Err)
    }

    /// Waits for something of the device, though no longer than there is one: what a lost device owes may never come,
    /// and what it says is worth nothing.
    pub(super) async fn unless_lost<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let mut future = pin!(future);
        let own = Wait::new(self);
        poll_fn(|context| {
            let polled = future.as_mut().poll(context);
            let mut state = self.state();
            state.forget(own.number);
            match (state.loss(), polled) {
                (Some(lost), _) => Poll::Ready(Err(lost)),
                (None, Poll::Ready(value)) => Poll::Ready(Ok(value)),
                (None, Poll::Pending) => {
                    state.waiting.push((own.number, context.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for the loss of the device.
    pub(super) async fn loss(self) -> Error {
        match self.unless_lost(pending::<Infallible>()).await {
            Ok(never) => match never {},
            Err(lost) => lost,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// One wait, forgotten when it ends, in whatever way.
struct Wait<'a> {
    fault: &'a Fault,
    number: u64,
}

impl<'a> Wait<'a> {
    fn new(fault: &'a Fault) -> Self {
        let mut state = fault.state();
        state.next += 1;
        Self { fault, number: state.next }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.fault.state().forget(self.number);
    }
}

impl State {
    fn forget(&mut self, number: u64) {
        self.waiting.retain(|(wait, _)| *wait != number);
    }

    fn loss(&self) -> Option<Error> {
        self.lost.clone().map(Error::DeviceLost)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Wake};

    use pollster::block_on;

    use super::*;
    use crate::Gpu;

    struct Noted(Mutex<usize>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            *lock(&self.0) += 1;
        }
    }

    #[test]
    fn who_waits_is_woken_by_the_loss_alone_and_forgotten_when_done() {
        let fault = Fault::default();
        let noted = Arc::new(Noted(Mutex::new(0)));
        let waker = Waker::from(noted.clone());
        let mut context = Context::from_waker(&waker);
        let mut waiting = pin!(fault.unless_lost(pending::<()>()));
        assert!(waiting.as_mut().poll(&mut context).is_pending() && waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(fault.state().waiting.len(), 1, "noted once, however often it is asked");
        fault.note(Error::Gpu("first".into()));
        fault.note(Error::Gpu("second".into()));
        assert_eq!(*lock(&noted.0), 0);

        fault.lose("gone".into());
        assert_eq!(*lock(&noted.0), 1);
        let Poll::Ready(Err(Error::DeviceLost(why))) = waiting.as_mut().poll(&mut context) else {
            panic!("still waits")
        };
        assert_eq!(why, "gone");

        // Two waits of one task: the end of one leaves the other noted, and so does dropping it.
        let fault = Fault::default();
        let mut first = pin!(fault.unless_lost(pending::<()>()));
        assert!(first.as_mut().poll(&mut context).is_pending());
        {
            let mut dropped = pin!(fault.unless_lost(pending::<()>()));
            assert!(dropped.as_mut().poll(&mut context).is_pending());
            assert_eq!(fault.state().waiting.len(), 2);
        }
        assert!(pin!(fault.unless_lost(async {})).as_mut().poll(&mut context).is_ready());
        assert_eq!(fault.state().waiting.len(), 1);
        fault.lose("gone".into());
        assert_eq!(*lock(&noted.0), 2);

        let fault = Fault::default();
        assert_eq!(block_on(fault.unless_lost(async { 3 })).unwrap(), 3);
        assert!(fault.state().waiting.is_empty());
        fault.note(Error::Gpu("first".into()));
        assert!(fault.check().is_err() && fault.check().is_ok(), "an error is told once");
    }

    #[test]
    fn everything_that_waits_for_a_destroyed_device_says_that_it_is_lost() {
        let gpu = block_on(Gpu::request(Default::default())).unwrap();
        let buffer = block_on(gpu.allocate(64, "x")).unwrap();
        let lost = gpu.lost();
        gpu.device().destroy();
        for _ in 0..2 {
            assert!(matches!(block_on(gpu.wait()), Err(Error::DeviceLost(_))));
            assert!(matches!(block_on(gpu.flush()), Err(Error::DeviceLost(_))));
            assert!(matches!(block_on(gpu.read(&buffer, 64)), Err(Error::DeviceLost(_))));
            assert!(matches!(block_on(gpu.allocate(64, "y")), Err(Error::DeviceLost(_))));
        }
        assert!(matches!(block_on(lost), Error::DeviceLost(_)));
    }
}
