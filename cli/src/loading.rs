//! Loading on a thread of its own, so that whoever asks to stop does not wait for a server that trickles.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use foveate::{Error, Result};

use super::cancel::Cancel;
use super::progress::Progress;

/// How often it is looked whether the user asked to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long the thread may take to stop by itself, which leaves a driver in order, before it is left behind.
const GRACE: Duration = Duration::from_secs(1);

/// Receives how far loading is; its error ends the loading.
pub type Told<'a> = &'a mut dyn FnMut(foveate::Progress<'_>) -> Result<()>;

/// What the thread says.
enum Said<T> {
    /// The component that is loaded, its bytes on the device, and its bytes in all.
    At(String, u64, u64),
    Done(Result<T>),
}

/// What `load` returns, which says how far it is and stops where that is an error.
pub fn apart<T: Send + 'static>(
    progress: &mut Progress,
    cancel: &Cancel,
    load: impl FnOnce(Told<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (say, said) = mpsc::channel();
    let asked = cancel.clone();
    let thread = std::thread::spawn(move || {
        let mut told = |at: foveate::Progress<'_>| {
            // Nobody listens any more where the user asked to stop.
            let _ = say.send(Said::At(at.component.to_owned(), at.done, at.total));
            asked.check()
        };
        let loaded = load(&mut told);
        let _ = say.send(Said::Done(loaded));
    });
    loop {
        match said.recv_timeout(LOOK) {
            Ok(Said::At(component, done, total)) => {
                progress.loading(foveate::Progress { component: &component, done, total });
            }
            Ok(Said::Done(loaded)) => return loaded,
            Err(RecvTimeoutError::Disconnected) => return Err(ended(thread)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cancel.check().is_err() {
            while let Ok(Said::At(..)) = said.recv_timeout(GRACE) {}
            return Err(Error::Cancelled);
        }
    }
}

/// The thread has ended without a result: it panicked, and so does this one.
fn ended(thread: std::thread::JoinHandle<()>) -> Error {
    match thread.join() {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) => Error::Cancelled,
    }
}
