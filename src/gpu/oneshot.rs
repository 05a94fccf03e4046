//! A callback's result as a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::shared::lock;

/// A callback's result as a future: what wgpu's callbacks need on native and in a browser alike.
pub(super) fn oneshot<T, E>() -> (Sender<T, E>, Receiver<T, E>) {
    let slot = Arc::new(Mutex::new((None, None)));
    (Sender(slot.clone()), Receiver(slot))
}

type Slot<T, E> = Arc<Mutex<(Option<Result<T, E>>, Option<Waker>)>>;

pub(super) struct Sender<T, E>(Slot<T, E>);

impl<T, E> Sender<T, E> {
    pub(super) fn send(self, value: Result<T, E>) {
        let mut slot = lock(&self.0);
        slot.0 = Some(value);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }
}

pub(super) struct Receiver<T, E>(Slot<T, E>);

impl<T, E> Future for Receiver<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.0);
        match slot.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
