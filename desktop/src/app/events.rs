//! Takes in what the engine and the disk told, and what was dropped on the window.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::Context;

use super::App;
use crate::disk::{Errand, Question, Report};
use crate::engine::{Choice, Event, Storage, Trouble};
use crate::state::State;
use crate::views::{Action, Model, Page, Shown};

/// How long what could not be kept waits for another try. There may be room on the disk then.
pub(super) const AGAIN: Duration = Duration::from_secs(3);

impl App {
    pub(super) fn take_in(&mut self, ctx: &Context) {
        while let Some(event) = self.engine.event() {
            self.hear(ctx, event);
        }
        while let Some(report) = self.clerk.report() {
            self.learn(ctx, report);
        }
        if !self.engine.alive() && !std::mem::replace(&mut self.engine_lost, true) {
            let advice = Some("Close the app and start it again; the queue and the history are kept".into());
            self.notices.trouble(&Trouble { what: "the part that draws has stopped".into(), advice });
        }
    }

    fn hear(&mut self, ctx: &Context, event: Event) {
        match event {
            // A job of another model loads and opens its own.
            Event::Loading { choice, component, done, total } => {
                if choice == self.settings.choice {
                    self.model = Model::Loading { component, done, total };
                }
            }
            Event::Opened(facts) => {
                if facts.choice == self.settings.choice {
                    self.settings.remember(&facts.choice.model);
                    self.model = Model::Open(facts);
                }
            }
            Event::NotOpened(choice, trouble) => {
                if choice == self.settings.choice {
                    self.notices.trouble(&trouble);
                    self.model = Model::Failed(trouble);
                }
            }
            Event::Began { task, steps, grid, warnings } => {
                if let Some(live) = self.stage.live.as_mut().filter(|live| live.job == task) {
                    (live.steps, live.grid) = (steps, Some(grid));
                }
                warnings.into_iter().for_each(|warning| self.notices.warn(warning));
            }
            Event::Step { task, index, seconds, preview, traced } => {
                if let Some(live) = self.stage.live.as_mut().filter(|live| live.job == task) {
                    live.step(index, seconds, preview, traced);
                }
            }
            Event::Drawn(drawn) => self.drawn(ctx, *drawn),
            Event::Failed(task, trouble) => {
                self.queue.end(task, State::Failed(trouble.line()));
                self.notices.trouble(&trouble);
            }
            Event::Stopped(task) => {
                self.queue.end(task, State::Cancelled);
                // It was stopped while it loaded the model in use, which nobody else loads now.
                if matches!(self.model, Model::Loading { .. }) {
                    self.open(self.settings.choice.clone());
                }
            }
            Event::Machine(Ok(report)) => self.machine = Some(*report),
            Event::Machine(Err(trouble)) => {
                self.machine_asked = false;
                self.notices.trouble(&trouble);
            }
        }
    }

    fn learn(&mut self, ctx: &Context, report: Report) {
        match report {
            Report::Found(entries) => self.history.extend(entries),
            Report::Scanned => self.history.read = true,
            Report::Loaded(path, picture) => self.album.put(ctx, path, &picture),
            Report::NotLoaded(path, trouble) => {
                self.album.fail(path);
                self.notices.trouble(&trouble);
            }
            Report::Clipped => self.notices.say("The picture is in the clipboard."),
            Report::Recalled(origin) => {
                self.settings.form.recall(&origin);
                if self.settings.form.beginning.is_none() {
                    self.begin_without();
                }
                self.page = Page::Draw;
                self.notices.forget_words();
                let obstacles = self.obstacles(&origin);
                match obstacles.is_empty() {
                    true => self.notices.say("Everything that made the picture is in the form."),
                    false => {
                        let obstacles = obstacles.join("; ");
                        self.notices.warn(format!("The form does not draw the same picture: {obstacles}."));
                    }
                }
            }
            Report::Begun(input) => self.begun(*input),
            Report::NotBegun(trouble) => {
                self.notices.trouble(&trouble);
                if self.input.is_none() {
                    self.settings.form.beginning = None;
                }
            }
            Report::Staged(staged) => self.staged(*staged),
            Report::MaskKept { picture, mask } => self.mask_kept(&picture, mask),
            Report::Saved(path) => self.saved(path),
            Report::NotSaved(path, trouble) => self.not_saved(&path, &trouble),
            Report::Copied(path) => self.notices.say(format!("The copy is {}.", path.display())),
            Report::Removed(path) => self.removed(&path),
            Report::Picked(question, path) => self.picked(ctx, question, path),
            Report::NotKept(trouble) => {
                self.keep_again = Some(Instant::now() + AGAIN);
                self.notices.unkept(&trouble);
            }
            Report::Kept => self.notices.kept(),
            Report::Failed(trouble) => self.notices.trouble(&trouble),
        }
    }

    fn removed(&mut self, path: &std::path::Path) {
        if self.shown().is_some_and(|shown| shown == path) {
            let other = self.history.beside(path, false).or_else(|| self.history.beside(path, true));
            self.stage.shown = other.map_or(Shown::Live, |entry| Shown::Picture(entry.path.clone()));
        }
        self.history.remove(path);
        let place = self.places.removed();
        self.notices.say(format!("Deleted. Until the next start the file is in {}.", place.display()));
        self.album.remove(path);
    }

    fn picked(&mut self, ctx: &Context, question: Question, path: PathBuf) {
        match question {
            Question::Model => self.act(ctx, Action::Open(self.choice(&path))),
            Question::Picture => self.clerk.send(Errand::Recall(path)),
            Question::Input => self.begin_with(path),
            Question::Copy(from) => self.clerk.send(Errand::Copy { from, to: path }),
        }
    }

    /// A folder that is dropped is a model; a file is a picture to recall, or, where nothing says how it was drawn, to
    /// begin with.
    pub(super) fn dropped(&mut self, ctx: &Context) {
        let files = ctx.input(|input| input.raw.dropped_files.clone());
        for path in files.iter().map(|file| file.path().to_owned()) {
            match path.is_dir() {
                true => self.open(self.choice(&path)),
                false => self.clerk.send(Errand::Take { picture: path, inputs: self.places.inputs() }),
            }
        }
    }

    /// Another model, on the same device.
    fn choice(&self, folder: &std::path::Path) -> Choice {
        let model = folder.to_string_lossy().into_owned();
        Choice { model, dtype: Storage::Fitting, adapter: self.settings.choice.adapter.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::Places;

    #[test]
    fn only_the_model_in_use_is_shown_to_load_and_a_load_that_was_stopped_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("settings.json"), r#"{"choice": {"model": "absent"}}"#).unwrap();
        let mut app = App::new(Places::below(folder.path().into()).unwrap(), None, Arc::new(|| {})).unwrap();
        let ctx = Context::default();
        let loading = |model: &str| {
            let choice = Choice { model: model.into(), ..Choice::default() };
            Event::Loading { choice, component: "transformer".into(), done: 1, total: 2 }
        };
        app.hear(&ctx, loading("other"));
        app.hear(&ctx, Event::Stopped(0));
        assert!(matches!(app.model, Model::Opening), "{:?}", app.model);
        app.hear(&ctx, loading("absent"));
        assert!(matches!(app.model, Model::Loading { .. }), "{:?}", app.model);
        app.hear(&ctx, Event::Stopped(0));
        assert!(matches!(app.model, Model::Opening), "{:?}", app.model);
    }
}
