//! Ctrl-C: the work stops at the next point where nothing is half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foveate::{Error, Result};

/// Whether the user asked to stop.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Listens for Ctrl-C. A second one ends the program at once.
    pub fn on_interrupt() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = flag.clone();
        let handler = move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(1);
            }
        };
        match ctrlc::set_handler(handler) {
            Ok(()) => Ok(Self(flag)),
            Err(error) => Err(Error::io("the handler of Ctrl-C", std::io::Error::other(error))),
        }
    }

    /// An error once the user asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}
