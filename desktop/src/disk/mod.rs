//! What lies on the disk, and the one thread that reads and writes it: the window waits for no file.

mod clipboard;
mod dialog;
mod entry;
mod errand;
mod inputs;
mod places;
mod report;
mod reveal;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

pub use entry::Entry;
pub use errand::Errand;
pub use inputs::Staged;
pub use places::{Places, kept};
pub use report::{Question, Report};
pub use reveal::reveal;

use crate::engine::Wake;
use errand::Desk;
use report::Voice;

/// The window's end of the thread.
pub struct Clerk {
    errands: Option<Sender<Errand>>,
    reports: Receiver<Report>,
    voice: Voice,
    thread: Option<JoinHandle<()>>,
}

impl Clerk {
    /// Starts the thread.
    pub fn start(wake: Wake) -> std::io::Result<Self> {
        let (errands, inbox) = channel();
        let (outbox, reports) = channel();
        let voice = Voice { reports: outbox, wake };
        let desk = Desk::new(voice.clone());
        let thread = std::thread::Builder::new().name("clerk".into()).spawn(move || desk.work(&inbox))?;
        Ok(Self { errands: Some(errands), reports, voice, thread: Some(thread) })
    }

    /// Hands over an errand. They are done in order.
    pub fn send(&self, errand: Errand) {
        if let Some(errands) = &self.errands {
            let _ = errands.send(errand);
        }
    }

    /// The next report, if there is one.
    pub fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// Waits until every errand is done; returns the reports that nobody has taken yet. More can be sent after it.
    pub fn settle(&mut self) -> Vec<Report> {
        self.join();
        let reports = self.reports.try_iter().collect();
        match Self::start(self.voice.wake.clone()) {
            Ok(next) => *self = next,
            Err(error) => log::warn!("nothing more is written: {error}"),
        }
        reports
    }

    fn join(&mut self) {
        self.errands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Asks the user for a path, beside everything else. The answer comes as [`Report::Picked`].
    pub fn ask(&self, question: Question) {
        dialog::ask(question, self.voice.clone());
    }
}

impl Drop for Clerk {
    /// Waits until everything is written. Pages of the history that are unread stay so.
    fn drop(&mut self) {
        self.join();
    }
}
