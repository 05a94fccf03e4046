//! Does what the user did.

use std::path::PathBuf;

use egui::{Context, Id};
use foveate::{Compression, Request};
use foveate_studio::Origin;

use super::App;
use crate::disk::{Errand, Staged, reveal};
use crate::engine::{Choice, Command, Stop, Task, Trouble};
use crate::state::{Live, State, obstacles};
use crate::views::{Action, Model, PROMPT, Page, Pair, SEARCH, Shown};

impl App {
    pub(super) fn act(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::Draw => self.draw(),
            Action::Stop => self.stop_or_close(),
            Action::Cancel(id) => self.cancel(id),
            Action::CancelAll => {
                self.queue.cancel_waiting();
                self.stop_running();
            }
            Action::Retry(id) => self.retry(id),
            Action::Save => self.save(),
            Action::Shift(id, earlier) => self.queue.shift(id, earlier),
            Action::ClearQueue => self.queue.clear(),
            Action::Continue => self.queue.paused = false,
            Action::Show(path) => self.stage.shown = Shown::Picture(path),
            Action::Beside(newer) => self.beside(newer),
            Action::Follow => self.follow(),
            Action::BeginWith(picture) => self.begin_with(picture),
            Action::BeginWithout => self.begin_without(),
            Action::Paint => self.paint(),
            Action::Extend(border) => self.extend(border),
            Action::Recall(path) => self.clerk.send(Errand::Recall(path)),
            Action::SaveCopy(path) => self.clerk.ask(crate::disk::Question::Copy(path)),
            Action::Copy(path) => self.clerk.send(Errand::Clip(path)),
            Action::Reveal(path) => {
                if let Err(error) = reveal(&path) {
                    self.notices.trouble(&Trouble::of_file(&error));
                }
            }
            Action::Remove(picture) => self.clerk.send(Errand::Remove { picture, into: self.places.removed() }),
            Action::CompareDense(path) => self.compare_dense(path),
            Action::Open(choice) => self.open(choice),
            Action::Ask(question) => self.clerk.ask(question),
            Action::Go(page) => self.page = page,
            Action::Close(at) => self.notices.close(at),
            Action::FocusPrompt => self.focus(ctx, PROMPT),
            Action::FocusSearch => self.focus(ctx, SEARCH),
        }
        if self.page != Page::Draw {
            self.describe_machine();
        }
    }

    /// The picture that is shown.
    pub(super) fn shown(&self) -> Option<PathBuf> {
        match &self.stage.shown {
            Shown::Live | Shown::Mask => None,
            Shown::Picture(path) => Some(path.clone()),
            Shown::Pair(pair) => Some(pair.right.clone()),
        }
    }

    /// Opens a model, instead of the one that is being opened.
    pub(super) fn open(&mut self, choice: Choice) {
        self.opening.raise();
        self.opening = Stop::default();
        self.model = Model::Opening;
        self.settings.choice = choice.clone();
        self.engine.send(Command::Open(choice, self.opening.clone()));
    }

    fn draw(&mut self) {
        self.notices.forget_words();
        if let Model::Failed(trouble) = &self.model {
            self.notices.trouble(trouble);
            return;
        }
        if !self.can_begin() {
            return;
        }
        let (choice, requests) = (self.settings.choice.clone(), self.settings.form.draw(self.model.facts()));
        match self.settings.form.beginning.clone() {
            Some(beginning) => self.stage_jobs(Staged { choice, requests, beginning }),
            None => {
                for request in requests {
                    self.queue.add(choice.clone(), request);
                }
            }
        }
        // What is added now begins once the finished picture is saved.
        if self.queue.unsaved().is_none() {
            self.stage.shown = Shown::Live;
        }
    }

    /// Hands a job to the engine.
    pub(super) fn begin(&mut self, task: Task) {
        self.stop = Stop::default();
        self.stage.live = Some(Live::new(task.id));
        self.stage.finished = None;
        self.engine.send(Command::Draw(Box::new(task), self.stop.clone()));
    }

    /// Escape: out of a comparison or a mask, else stops the picture under way.
    fn stop_or_close(&mut self) {
        match &self.stage.shown {
            Shown::Pair(pair) => self.stage.shown = Shown::Picture(pair.right.clone()),
            Shown::Mask => self.follow(),
            Shown::Live | Shown::Picture(_) => self.stop_running(),
        }
    }

    fn stop_running(&mut self) {
        if let Some(id) = self.queue.running().map(|job| job.id) {
            self.cancel(id);
        }
    }

    fn cancel(&mut self, id: u64) {
        if self.queue.unsaved().is_some_and(|job| job.id == id) {
            self.give_up();
        }
        if self.queue.cancel(id) {
            self.stop.raise();
        }
    }

    fn retry(&mut self, id: u64) {
        let again = self.queue.retry(id);
        if let (Some(again), Some((job, _))) = (again, &mut self.counterpart)
            && *job == id
        {
            *job = again;
        }
    }

    fn beside(&mut self, newer: bool) {
        let other = match self.shown() {
            Some(path) => self.history.beside(&path, newer),
            None => self.history.found().next(),
        };
        if let Some(entry) = other {
            self.stage.shown = Shown::Picture(entry.path.clone());
        }
    }

    /// Draws the dense counterpart of a picture; where the picture is dense, the one that the model's policy makes.
    fn compare_dense(&mut self, path: PathBuf) {
        let Some(entry) = self.history.get(&path) else { return };
        let obstacles = self.obstacles(&entry.origin);
        if !obstacles.is_empty() {
            self.notices.warn(format!("The counterpart is not drawn: {}.", obstacles.join("; ")));
            return;
        }
        let dense = entry.took.as_ref().is_some_and(|took| took.flops >= took.dense_flops);
        let compression = if dense { Compression::default() } else { Compression::policy("dense") };
        let request = Request { compression, traced: false, count: None, ..entry.origin.request.clone() };
        let id = self.queue.add(self.settings.choice.clone(), request);
        self.counterpart = Some((id, path));
        self.notices.say("The counterpart is being drawn; both are shown when it is done.");
    }

    /// Why a picture cannot be drawn again as it was.
    pub(super) fn obstacles(&self, origin: &Origin) -> Vec<String> {
        obstacles(origin, self.model.facts().map(|facts| (facts.name.as_str(), facts.dtype)))
    }

    /// What becomes of the picture that was just finished.
    pub(super) fn finished(&mut self, id: u64, path: PathBuf) {
        self.queue.end(id, State::Done(path.clone()));
        if self.stage.live.as_ref().is_some_and(|live| live.job == id) {
            self.stage.finished = Some(path.clone());
        }
        match self.counterpart.take_if(|(job, _)| *job == id) {
            Some((_, other)) => self.stage.shown = Shown::Pair(Pair::new(path, other)),
            // Whoever looks at another picture goes on looking at it, and whoever follows sees the next one form.
            None if self.stage.shown == Shown::Live && (self.queue.waiting() == 0 || self.queue.paused) => {
                self.stage.shown = Shown::Picture(path);
            }
            None => {}
        }
    }

    fn focus(&mut self, ctx: &Context, id: &str) {
        self.page = Page::Draw;
        ctx.memory_mut(|memory| memory.request_focus(Id::unique(id)));
    }
}
