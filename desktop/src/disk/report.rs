//! What the threads of this module report, and how.

use std::path::PathBuf;
use std::sync::mpsc::Sender;

use foveate_studio::Origin;
use image::RgbImage;

use super::entry::Entry;
use super::inputs::Staged;
use crate::engine::{Trouble, Wake};
use crate::input::Input;

/// What became of an errand.
#[derive(Debug)]
pub enum Report {
    /// Pictures of the history, the newest first.
    Found(Vec<Entry>),
    /// The history was read to its end.
    Scanned,
    /// A picture, as large as it is shown.
    Loaded(PathBuf, RgbImage),
    /// A picture that cannot be read.
    NotLoaded(PathBuf, Trouble),
    /// A picture is in the clipboard.
    Clipped,
    /// How a picture was drawn.
    Recalled(Box<Origin>),
    /// A picture to begin with is kept, and here.
    Begun(Box<Input>),
    /// A picture to begin with cannot be had.
    NotBegun(Trouble),
    /// All that jobs begin with is on the disk.
    Staged(Box<Staged>),
    /// The mask of the form is on the disk, by this name; none where nothing is marked.
    MaskKept { picture: String, mask: Option<String> },
    /// A finished picture is on the disk.
    Saved(PathBuf),
    /// A finished picture could not be written.
    NotSaved(PathBuf, Trouble),
    /// A picture was copied here.
    Copied(PathBuf),
    /// A picture is gone.
    Removed(PathBuf),
    /// A dialog was answered.
    Picked(Question, PathBuf),
    /// What is kept for the next start could not be written.
    NotKept(Trouble),
    /// Everything is kept that could not be before.
    Kept,
    /// Something failed.
    Failed(Trouble),
}

/// What a dialog asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The folder of a model.
    Model,
    /// A picture, to recall how it was drawn.
    Picture,
    /// A picture to begin with.
    Input,
    /// Where to put a copy of this picture.
    Copy(PathBuf),
}

/// How the threads of this module report.
#[derive(Clone)]
pub(super) struct Voice {
    pub reports: Sender<Report>,
    pub wake: Wake,
}

impl Voice {
    pub fn say(&self, report: Report) {
        // Where nobody listens any more the program is about to end.
        let _ = self.reports.send(report);
        (self.wake)();
    }
}
