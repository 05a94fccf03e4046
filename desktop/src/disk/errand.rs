//! What the clerk is asked to do, and the thread that does it.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use foveate::photo::Border;
use foveate::{Context, Error, Result};
use foveate_studio::Origin;
use foveate_studio::output::{self, Output};

use super::clipboard::Clipboard;
use super::inputs::Staged;
use super::report::{Report, Voice};
use super::{entry, inputs};
use crate::engine::Trouble;
use crate::input::{Beginning, Input, Marks};
use crate::picture::{SHOWN, shrunk};

/// How old a file is at least that nobody writes any more.
const UNFINISHED: Duration = Duration::from_secs(3600);

/// Something to do with files.
#[derive(Debug)]
pub enum Errand {
    /// Read the pictures of a folder, the newest first, while nothing else is to be done.
    Scan(PathBuf),
    /// Read a picture, as large as it is shown.
    Load(PathBuf),
    /// Put a picture into the clipboard.
    Clip(PathBuf),
    /// Read how a picture was drawn.
    Recall(PathBuf),
    /// Recall a picture that says how it was drawn; begin with any other.
    Take { picture: PathBuf, inputs: PathBuf },
    /// Begin with a picture.
    Begin { picture: PathBuf, inputs: PathBuf },
    /// Begin with the picture of an earlier start.
    BeginAgain { beginning: Beginning, inputs: PathBuf },
    /// Begin with a picture of the inputs and a border around it, which is marked as well.
    Extend { picture: String, marks: Marks, border: Border, inputs: PathBuf },
    /// Keep the mask that jobs begin with.
    Stage { staged: Box<Staged>, marks: Option<Marks>, inputs: PathBuf },
    /// Keep the mask of the form, on a picture of the inputs.
    KeepMask { picture: String, marks: Option<Marks>, inputs: PathBuf },
    /// Remove the inputs that are not among the used ones.
    Tidy { inputs: PathBuf, used: Vec<String> },
    /// Remove what a program left that was killed while it wrote into these folders.
    Sweep(Vec<PathBuf>),
    /// Write the file of a finished picture, whole or not at all.
    Save { path: PathBuf, png: Arc<[u8]> },
    /// Write a file that is kept for the next start, whole or not at all.
    Write(PathBuf, Vec<u8>),
    /// Copy a picture.
    Copy { from: PathBuf, to: PathBuf },
    /// Move a picture into the folder of those that were deleted.
    Remove { picture: PathBuf, into: PathBuf },
}

/// The thread's end.
pub(super) struct Desk {
    voice: Voice,
    /// Pages of the history that are not read yet. There may be many, so every errand goes before them.
    unread: VecDeque<Vec<PathBuf>>,
    /// Files that could not be written.
    unkept: HashSet<PathBuf>,
    clipboard: Clipboard,
}

impl Desk {
    pub fn new(voice: Voice) -> Self {
        Self { voice, unread: VecDeque::new(), unkept: HashSet::new(), clipboard: Clipboard::default() }
    }

    /// Works until nobody can send errands any more.
    pub fn work(mut self, inbox: &Receiver<Errand>) {
        while let Some(errand) = self.next(inbox) {
            if let Err(error) = self.run(errand) {
                self.voice.say(Report::Failed(Trouble::of_file(&error)));
            }
        }
    }

    /// The next errand; until there is one, pages are read. None once nobody can send any more.
    fn next(&mut self, inbox: &Receiver<Errand>) -> Option<Errand> {
        while let Some(page) = self.unread.front() {
            match inbox.try_recv() {
                Ok(errand) => return Some(errand),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            self.voice.say(Report::Found(entry::read_page(page)));
            self.unread.pop_front();
            self.say_scanned();
        }
        inbox.recv().ok()
    }

    fn begin(&self, begun: Result<Input>) {
        self.voice.say(match begun {
            Ok(input) => Report::Begun(Box::new(input)),
            Err(error) => Report::NotBegun(Trouble::of_file(&error)),
        });
    }

    fn say_scanned(&self) {
        if self.unread.is_empty() {
            self.voice.say(Report::Scanned);
        }
    }

    fn run(&mut self, errand: Errand) -> Result<()> {
        match errand {
            Errand::Scan(folder) => {
                let listed = entry::pages(&folder).map(|pages| self.unread = pages);
                self.say_scanned();
                return listed;
            }
            Errand::Load(path) => self.voice.say(match entry::load(&path) {
                Ok(picture) => Report::Loaded(path, shrunk(SHOWN, picture)),
                Err(error) => Report::NotLoaded(path, Trouble::of_file(&error)),
            }),
            Errand::Clip(path) => {
                self.clipboard.put(entry::load(&path)?)?;
                self.voice.say(Report::Clipped);
            }
            Errand::Recall(path) => self.voice.say(Report::Recalled(Box::new(Origin::read(&path)?))),
            Errand::Take { picture, inputs } => match Origin::read(&picture) {
                Ok(origin) => self.voice.say(Report::Recalled(Box::new(origin))),
                Err(_) => self.begin(inputs::take(&picture, &inputs)),
            },
            Errand::Begin { picture, inputs } => self.begin(inputs::take(&picture, &inputs)),
            Errand::BeginAgain { beginning, inputs } => self.begin(inputs::open(&inputs, &beginning)),
            Errand::Extend { picture, marks, border, inputs } => {
                self.begin(inputs::bordered(&inputs, &picture, &marks, border));
            }
            Errand::Stage { mut staged, marks, inputs } => {
                staged.beginning.mask = marks.map(|marks| inputs::keep(&inputs, &marks)).transpose()?;
                self.voice.say(Report::Staged(staged));
            }
            Errand::KeepMask { picture, marks, inputs } => {
                let mask = marks.map(|marks| inputs::keep(&inputs, &marks)).transpose()?;
                self.voice.say(Report::MaskKept { picture, mask });
            }
            Errand::Tidy { inputs, used } => inputs::tidy(&inputs, &used)?,
            Errand::Sweep(folders) => folders.iter().try_for_each(|folder| output::sweep(folder, UNFINISHED))?,
            Errand::Save { path, png } => self.voice.say(match write(&path, &png).context(|| "saving the picture") {
                Ok(()) => Report::Saved(path),
                Err(error) => Report::NotSaved(path, Trouble::of_unsaved(&error)),
            }),
            Errand::Write(path, bytes) => match write(&path, &bytes).context(|| "keeping it for the next start") {
                Ok(()) => {
                    if self.unkept.remove(&path) && self.unkept.is_empty() {
                        self.voice.say(Report::Kept);
                    }
                }
                Err(error) => {
                    self.unkept.insert(path);
                    self.voice.say(Report::NotKept(Trouble::of_kept(&error)));
                }
            },
            Errand::Copy { from, to } => {
                let bytes = fs::read(&from).map_err(|error| Error::io(&from, error))?;
                write(&to, &bytes).context(|| "saving the copy")?;
                self.voice.say(Report::Copied(to));
            }
            Errand::Remove { picture, into } => {
                let target = into.join(picture.file_name().unwrap_or_default());
                fs::rename(&picture, &target).map_err(|error| Error::io(&picture, error))?;
                self.voice.say(Report::Removed(picture));
            }
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Output::check(path)?.stage(bytes)?.commit()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn errands_go_before_the_history_and_closing_waits_for_no_page() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("00001.png"), "no picture").unwrap();
        let (reports, told) = channel();
        let mut desk = Desk::new(Voice { reports, wake: Arc::new(|| {}) });
        let (errands, inbox) = channel();
        // While there is an errand no page is read.
        desk.run(Errand::Scan(folder.path().into())).unwrap();
        errands.send(Errand::Load("absent.png".into())).unwrap();
        assert!(matches!(desk.next(&inbox), Some(Errand::Load(_))));
        assert!(told.try_recv().is_err());
        // What was sent is done before the end, and what is unread stays so.
        let kept = folder.path().join("queue.json");
        errands.send(Errand::Write(kept.clone(), b"{}".to_vec())).unwrap();
        drop(errands);
        desk.work(&inbox);
        assert_eq!(fs::read(kept).unwrap(), b"{}");
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn the_history_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (reports, told) = channel();
        let mut desk = Desk::new(Voice { reports, wake: Arc::new(|| {}) });
        desk.run(Errand::Scan(folder.path().into())).unwrap();
        assert!(matches!(told.try_recv(), Ok(Report::Scanned)), "an empty folder");
        assert!(desk.run(Errand::Scan(folder.path().join("absent"))).is_err());
        assert!(matches!(told.try_recv(), Ok(Report::Scanned)), "no folder");
        fs::write(folder.path().join("00001.png"), "no picture").unwrap();
        desk.run(Errand::Scan(folder.path().into())).unwrap();
        let (errands, inbox) = channel();
        let thread = std::thread::spawn(move || desk.work(&inbox));
        assert!(matches!(told.recv(), Ok(Report::Found(none)) if none.is_empty()));
        assert!(matches!(told.recv(), Ok(Report::Scanned)));
        drop(errands);
        thread.join().unwrap();
    }
}
