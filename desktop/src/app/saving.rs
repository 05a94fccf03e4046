//! A finished picture on its way to the disk. Where there is no room for it, it is held and tried again until there is:
//! what took minutes to draw is not drawn twice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::Context;

use super::App;
use super::events::AGAIN;
use crate::disk::{Entry, Errand};
use crate::engine::{Drawn, Trouble};
use crate::state::State;
use crate::views::Shown;

/// The picture, and when to try again where it could not be saved.
pub(super) struct Saving {
    drawn: Drawn,
    again: Option<Instant>,
}

impl App {
    /// A picture is finished. Its job runs until it is on the disk, so there is one at a time.
    pub(super) fn drawn(&mut self, ctx: &Context, drawn: Drawn) {
        self.album.put(ctx, drawn.path.clone(), &drawn.picture);
        self.saving = Some(Saving { drawn, again: None });
        self.save();
    }

    /// Tries to save it, for the first time or again.
    pub(super) fn save(&mut self) {
        if let Some(Saving { drawn, again }) = &mut self.saving {
            *again = None;
            self.clerk.send(Errand::Save { path: drawn.path.clone(), png: drawn.png.clone() });
        }
    }

    /// Tries again once it is time. Returns how long that is from now.
    pub(super) fn save_in_time(&mut self) -> Option<Duration> {
        let left = self.saving.as_ref()?.again?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.save();
            return None;
        }
        Some(left)
    }

    pub(super) fn saved(&mut self, path: PathBuf) {
        let Some(Saving { drawn, .. }) = self.saving.take_if(|saving| saving.drawn.path == path) else { return };
        let Drawn { task, origin, took, thumbnail, .. } = drawn;
        self.notices.saved();
        self.history.add(Entry { path: path.clone(), origin, took: Some(took), thumbnail });
        self.finished(task, path);
    }

    pub(super) fn not_saved(&mut self, path: &Path, trouble: &Trouble) {
        let Some(saving) = self.saving.as_mut().filter(|saving| saving.drawn.path == path) else { return };
        let task = saving.drawn.task;
        saving.again = Some(Instant::now() + AGAIN);
        if self.queue.running().is_some_and(|job| job.id == task) {
            self.queue.end(task, State::Unsaved(trouble.line()));
            self.notices.unsaved(trouble);
            if self.stage.shown == Shown::Live {
                self.stage.shown = Shown::Picture(path.to_owned());
            }
        }
        // Nobody wants it any more.
        if self.queue.unsaved().is_none() {
            self.give_up();
        }
    }

    /// Gives the held picture up.
    pub(super) fn give_up(&mut self) {
        self.saving = None;
        self.notices.saved();
    }
}
