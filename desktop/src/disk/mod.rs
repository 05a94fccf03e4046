//! What lies on the disk, and the one thread that reads and writes it: the window waits for no file.

mod dialog;
mod entry;
pub mod names;
mod places;
mod reveal;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use foveate::{Context, Error, Result};
use foveate_studio::Origin;
use foveate_studio::output::Output;
use image::RgbImage;

pub use dialog::Question;
pub use entry::{Entry, thumbnail};
pub use places::{Places, kept};
pub use reveal::reveal;

use crate::engine::{Trouble, Wake};

/// Something to do with files.
#[derive(Debug)]
pub enum Errand {
    /// Read the pictures of a folder, the newest first.
    Scan(PathBuf),
    /// Read a picture whole.
    Load(PathBuf),
    /// Read how a picture was drawn.
    Recall(PathBuf),
    /// Write a file, whole or not at all.
    Write(PathBuf, Vec<u8>),
    /// Copy a picture.
    Copy { from: PathBuf, to: PathBuf },
    /// Move a picture into the folder of those that were deleted.
    Remove { picture: PathBuf, into: PathBuf },
}

/// What became of it.
#[derive(Debug)]
pub enum Report {
    /// Pictures of the history, the newest first.
    Found(Vec<Entry>),
    /// The history was read to its end.
    Scanned,
    /// A whole picture.
    Loaded(PathBuf, RgbImage),
    /// How a picture was drawn.
    Recalled(Box<Origin>),
    /// A picture was copied here.
    Copied(PathBuf),
    /// A picture is gone.
    Removed(PathBuf),
    /// A dialog was answered.
    Picked(Question, PathBuf),
    /// Something failed.
    Failed(Trouble),
}

/// The window's end of the thread.
pub struct Clerk {
    errands: Option<Sender<Errand>>,
    reports: Receiver<Report>,
    voice: Voice,
    thread: Option<JoinHandle<()>>,
}

/// How the threads of this module report.
#[derive(Clone)]
struct Voice {
    reports: Sender<Report>,
    wake: Wake,
}

impl Voice {
    fn say(&self, report: Report) {
        // Where nobody listens any more the program is about to end.
        let _ = self.reports.send(report);
        (self.wake)();
    }
}

impl Clerk {
    /// Starts the thread.
    pub fn start(wake: Wake) -> std::io::Result<Self> {
        let (errands, inbox) = channel();
        let (outbox, reports) = channel();
        let voice = Voice { reports: outbox, wake };
        let own = voice.clone();
        let thread = std::thread::Builder::new().name("clerk".into()).spawn(move || {
            for errand in inbox {
                if let Err(error) = run(errand, &own) {
                    own.say(Report::Failed(Trouble::of(&error)));
                }
            }
        })?;
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

    /// Asks the user for a path, beside everything else. The answer comes as [`Report::Picked`].
    pub fn ask(&self, question: Question) {
        dialog::ask(question, self.voice.clone());
    }
}

impl Drop for Clerk {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.errands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(errand: Errand, voice: &Voice) -> Result<()> {
    match errand {
        Errand::Scan(folder) => {
            let scanned = entry::scan(&folder, |found| voice.say(Report::Found(found)));
            voice.say(Report::Scanned);
            scanned
        }
        Errand::Load(path) => {
            let picture = entry::load(&path)?;
            voice.say(Report::Loaded(path, picture));
            Ok(())
        }
        Errand::Recall(path) => {
            voice.say(Report::Recalled(Box::new(Origin::read(&path)?)));
            Ok(())
        }
        Errand::Write(path, bytes) => write(&path, &bytes).context(|| format!("keeping {}", path.display())),
        Errand::Copy { from, to } => {
            let bytes = fs::read(&from).map_err(|error| Error::io(&from, error))?;
            write(&to, &bytes).context(|| "saving the copy")?;
            voice.say(Report::Copied(to));
            Ok(())
        }
        Errand::Remove { picture, into } => {
            let target = into.join(picture.file_name().unwrap_or_default());
            fs::rename(&picture, &target).map_err(|error| Error::io(&picture, error))?;
            voice.say(Report::Removed(picture));
            Ok(())
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Output::check(path)?.stage(bytes)?.commit()
}
