//! The window's loop: takes in what the threads tell, shows the views, does what the user did.

mod act;
mod begin;
mod events;
mod keys;
mod layout;
mod saving;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::Context;
use foveate::{Error, Result};
use foveate_studio::doctor::Report;

use crate::disk::{self, Clerk, Errand, Places, kept};
use crate::engine::{Engine, Shared, Stop, Task, Trouble, Wake};
use crate::input::Input;
use crate::state::{History, Notices, Queue, Settings};
use crate::views::{Album, Model, Page, Stage};
use saving::Saving;

/// The app.
pub struct App {
    places: Places,
    engine: Engine,
    clerk: Clerk,
    queue: Queue,
    history: History,
    notices: Notices,
    settings: Settings,
    /// The settings as they are on the disk, where they are.
    settings_kept: Option<Settings>,
    /// When to try again to keep what could not be written.
    keep_again: Option<Instant>,
    model: Model,
    /// The finished picture that is not on the disk yet.
    saving: Option<Saving>,
    /// The picture that the form begins with.
    input: Option<Input>,
    stage: Stage,
    page: Page,
    album: Album,
    /// This machine, once it was asked for.
    machine: Option<Report>,
    /// Whether it is being looked at, or was.
    machine_asked: bool,
    /// The field for a model's folder or address.
    named: String,
    /// Stops the picture under way.
    stop: Stop,
    /// Stops the model that is being opened.
    opening: Stop,
    /// A job that draws the dense counterpart of a picture, to compare both.
    counterpart: Option<(u64, PathBuf)>,
    /// Whether the dead engine was reported.
    engine_lost: bool,
}

impl App {
    /// The app with what it kept below `places`. `wake` is called from other threads when there is something to show.
    pub fn new(places: Places, shared: Option<Shared>, wake: Wake) -> Result<Self> {
        let failed = |error| Error::io("a thread of this program", error);
        let engine = Engine::start(shared, places.folders(), wake.clone()).map_err(failed)?;
        let clerk = Clerk::start(wake).map_err(failed)?;
        let mut notices = Notices::default();
        let settings: Settings = remembered(kept(&places.settings()), &mut notices);
        let queue: Queue = remembered(kept(&places.queue()), &mut notices);
        clerk.send(Errand::Scan(places.pictures()));
        clerk.send(Errand::Sweep(places.all().into()));
        let mut app = Self {
            places,
            engine,
            clerk,
            queue: queue.restored(),
            history: History::default(),
            notices,
            settings_kept: Some(settings.clone()),
            keep_again: None,
            settings,
            model: Model::Opening,
            saving: None,
            input: None,
            stage: Stage::default(),
            page: Page::default(),
            album: Album::default(),
            machine: None,
            machine_asked: false,
            named: String::new(),
            stop: Stop::default(),
            opening: Stop::default(),
            counterpart: None,
            engine_lost: false,
        };
        app.engine.wishes.set(app.settings.preview);
        app.restore_inputs();
        app.open(app.settings.choice.clone());
        Ok(app)
    }

    /// Shows the window and does what the user did in it.
    pub fn ui(&mut self, ui: &mut egui::Ui) {
        let ctx = ui.ctx().clone();
        let mut actions = self.keys(&ctx);
        self.dropped(&ctx);
        self.layout(ui, &mut actions);
        for action in actions {
            self.act(&ctx, action);
        }
        self.keep();
    }

    /// Takes in what the threads told, and hands on what is to be done. Called while the window is hidden, too.
    pub fn logic(&mut self, ctx: &Context) {
        self.take_in(ctx);
        if let Some(left) = self.notices.fade() {
            ctx.request_repaint_after(left);
        }
        if let Some(left) = self.save_in_time() {
            ctx.request_repaint_after(left);
        }
        match self.keep_again.map(|at| at.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => self.forget_kept(),
            Some(left) => ctx.request_repaint_after(left),
            None => {}
        }
        if let Some(job) = self.queue.begin() {
            let (choice, request, beginning) = (job.choice.clone(), job.request.clone(), job.beginning.clone());
            let task = Task { id: job.id, choice, request, beginning };
            self.begin(task);
        }
        for path in self.album.wanted() {
            self.clerk.send(Errand::Load(path));
        }
        self.keep();
    }

    /// Keeps what changed, on the disk.
    fn keep(&mut self) {
        if let Some(bytes) = self.queue.to_keep() {
            self.clerk.send(Errand::Write(self.places.queue(), bytes));
        }
        if Some(&self.settings) != self.settings_kept.as_ref()
            && let Ok(bytes) = serde_json::to_vec_pretty(&self.settings)
        {
            self.engine.wishes.set(self.settings.preview);
            self.settings_kept = Some(self.settings.clone());
            self.clerk.send(Errand::Write(self.places.settings(), bytes));
        }
    }

    /// Has everything written that is kept: what was written last is not on the disk.
    fn forget_kept(&mut self) {
        (self.keep_again, self.settings_kept) = (None, None);
        self.queue.forget_kept();
    }

    /// Tells the user that something is odd.
    pub fn warn(&mut self, text: &str) {
        self.notices.warn(text);
    }

    /// What is to be drawn, and what became of it.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The model in use.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn describe_machine(&mut self) {
        if !std::mem::replace(&mut self.machine_asked, true) {
            self.engine.describe();
        }
    }
}

impl Drop for App {
    /// A picture under way is left; it waits in the queue for the next start.
    fn drop(&mut self) {
        self.stop.raise();
        self.opening.raise();
        self.keep_mask();
        self.save();
        // A picture that is on the disk now; jobs and a form whose mask is only now on the disk.
        for report in self.clerk.settle() {
            match report {
                disk::Report::Saved(path) => self.saved(path),
                disk::Report::Staged(staged) => self.staged(*staged),
                disk::Report::MaskKept { picture, mask } => self.mask_kept(&picture, mask),
                disk::Report::NotKept(_) => self.keep_again = Some(Instant::now()),
                _ => {}
            }
        }
        if self.keep_again.is_some() {
            self.forget_kept();
        }
        self.keep();
    }
}

/// What was kept, or what there is at first; with a word to the user where it could not be read.
fn remembered<T: Default>(kept: Result<Option<T>>, notices: &mut Notices) -> T {
    match kept {
        Ok(kept) => kept.unwrap_or_default(),
        Err(error) => {
            let advice = Some("It was put aside, and this start begins without it".into());
            notices.trouble(&Trouble { what: error.chain().join(": "), advice });
            T::default()
        }
    }
}
