//! What the user can do, and where.

use std::path::PathBuf;

use foveate::photo::Border;

use crate::disk::Question;
use crate::engine::Choice;

/// Something the user did.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Draw what the form says.
    Draw,
    /// Cancel the picture that is being drawn.
    Stop,
    /// Cancel a job.
    Cancel(u64),
    /// Cancel all jobs, waiting and running.
    CancelAll,
    /// Let a job wait again.
    Retry(u64),
    /// Try again to save the picture that could not be saved.
    Save,
    /// Move a waiting job earlier, or later.
    Shift(u64, bool),
    /// Forget the jobs that are over.
    ClearQueue,
    /// Go on with a queue that was paused.
    Continue,
    /// Show a picture of the history.
    Show(PathBuf),
    /// Show the picture that is newer than the one shown, or the older one.
    Beside(bool),
    /// Show the picture under way.
    Follow,
    /// Begin with this picture.
    BeginWith(PathBuf),
    /// Begin with noise.
    BeginWithout,
    /// Paint a mask on the picture to begin with; choose one first.
    Paint,
    /// Put a border around the picture to begin with, to be drawn.
    Extend(Border),
    /// Take over everything that made a picture.
    Recall(PathBuf),
    /// Save a copy of a picture.
    SaveCopy(PathBuf),
    /// Copy a picture to the clipboard.
    Copy(PathBuf),
    /// Show a picture in the file manager.
    Reveal(PathBuf),
    /// Delete a picture.
    Remove(PathBuf),
    /// Show a picture beside the one that is drawn with every token computed; draw that first.
    CompareDense(PathBuf),
    /// Open a model.
    Open(Choice),
    /// Ask for a path.
    Ask(Question),
    /// Go to a page.
    Go(Page),
    /// Close a notice.
    Close(usize),
    /// Put the cursor into the prompt.
    FocusPrompt,
    /// Put the cursor into the search field.
    FocusSearch,
}

/// The pages of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The prompt, the picture, the queue and the history.
    #[default]
    Draw,
    /// Which model draws, and on what.
    Models,
    /// What a bug report needs, and the keys.
    Machine,
}
