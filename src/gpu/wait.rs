//! Waiting for the device: always by a future, which leaves the thread free and ends when the device is lost.

use std::future::{Future, poll_fn};
use std::pin::pin;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use super::Gpu;
use super::borrowed::check_maps;
use super::oneshot::oneshot;
#[cfg(not(target_arch = "wasm32"))]
use super::{borrowed::Borrowed, fault::Fault, poller::Attendance, poller::Poller};
use crate::{Error, Result};

/// Has the device asked what is done, until it is dropped. In a browser the event loop asks by itself.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Attended = Attendance;
#[cfg(target_arch = "wasm32")]
#[derive(Debug)]
pub(super) struct Attended;

impl Gpu {
    /// Waits until everything submitted so far has run. The thread is free meanwhile.
    pub async fn wait(&self) -> Result<()> {
        let done = self.done();
        // Much is done already, and then nobody needs to wait.
        self.poll();
        self.check()?;
        done.await?;
        // The loss of a device ends what was submitted, and is told only after that.
        check_maps(self.device(), self.fault())?;
        self.fault().check()
    }

    /// Asks the device once what is done, without waiting. A browser's event loop does it by itself.
    fn poll(&self) {
        // What goes wrong is heard by the device's error handlers.
        _ = self.device().poll(wgpu::PollType::Poll);
    }

    /// When everything submitted so far has run.
    pub(super) fn done(&self) -> impl Future<Output = Result<()>> {
        let (sender, receiver) = oneshot::<_, Error>();
        self.queue().on_submitted_work_done(move || sender.send(Ok(())));
        async { self.unless_lost(receiver).await? }
    }

    /// Waits until the device is lost, and says why. The loss of a borrowed device is reported to the host: here it is
    /// noticed when something is asked of the device.
    pub fn lost(&self) -> impl Future<Output = Error> + Send + use<> {
        self.fault().clone().loss()
    }

    /// Waits for something of the device: every wait goes through here, and ends when the device is lost.
    pub(super) async fn unless_lost<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let mut waiting = pin!(self.fault().unless_lost(future));
        // What is there already needs nobody who asks for it.
        if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await {
            return result;
        }
        let _attended = self.attend();
        waiting.await
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn attend(&self) -> Attended {
        self.poller().attend()
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn attend(&self) -> Attended {
        Attended
    }
}

/// Asks the device what is done. A borrowed device is asked from time to time whether it is still there.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn poller(device: &wgpu::Device, fault: &Fault, borrowed: Option<&Borrowed>) -> Poller {
    const SELDOM: u64 = 100;
    let (device, fault, borrowed, asked) = (device.clone(), fault.clone(), borrowed.cloned(), AtomicU64::new(0));
    Poller::new(move || {
        _ = device.poll(wgpu::PollType::Poll);
        if let Some(borrowed) =
            borrowed.as_ref().filter(|_| asked.fetch_add(1, Ordering::Relaxed) % SELDOM == SELDOM - 1)
        {
            // Whoever waits hears of it by the fault.
            if let Err(error) = borrowed.check(&device, &fault) {
                fault.lose(error.to_string());
            }
        }
    })
}
