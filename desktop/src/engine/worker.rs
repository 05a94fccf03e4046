//! The engine's thread: takes commands in order, and keeps the model that is open.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use foveate::{Context, Device, Error, LoadOptions, Model, Pipeline, Result};
use foveate_studio::memory::{Needs, found};
use foveate_studio::model::name;
use foveate_studio::output::Output;

use super::choice::Choice;
use super::device::{self, Shared};
use super::drawing::Easel;
use super::facts::{ModelFacts, Room};
use super::message::{Command, Drawn, Event, Stop, Task, Teller, Wishes};
use super::names;
use super::projection::Projection;
use super::trouble::Trouble;

/// Where the engine keeps what it writes.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Finished pictures.
    pub pictures: PathBuf,
    /// Pictures that drawings begin with, and their masks.
    pub inputs: PathBuf,
    /// Previews' projections, one file a model.
    pub projections: PathBuf,
}

pub(super) struct Worker {
    shared: Option<Shared>,
    folders: Folders,
    teller: Teller,
    wishes: Arc<Wishes>,
    open: Option<Open>,
}

/// A loaded model.
struct Open {
    choice: Choice,
    name: String,
    room: Room,
    pipeline: Pipeline,
    projection: Projection,
}

impl Worker {
    pub fn new(shared: Option<Shared>, folders: Folders, teller: Teller, wishes: Arc<Wishes>) -> Self {
        Self { shared, folders, teller, wishes, open: None }
    }

    /// Works until nobody can send commands any more.
    pub fn run(mut self, inbox: &Receiver<Command>) {
        while let Ok(command) = inbox.recv() {
            match command {
                // Where it fails, the window is told already.
                Command::Open(choice, stop) => drop(self.open_and_tell(&choice, &stop)),
                Command::Draw(task, stop) => self.draw_and_tell(&task, &stop),
            }
        }
    }

    /// Opens a model, by itself or for a task.
    fn open_and_tell(&mut self, choice: &Choice, stop: &Stop) -> Result<()> {
        let opened = self.open(choice, stop);
        if let Err(error) = &opened
            && !matches!(error, Error::Cancelled)
        {
            self.forget_lost(choice, error);
            self.teller.tell(Event::NotOpened(choice.clone(), Trouble::of(error)));
        }
        opened
    }

    fn draw_and_tell(&mut self, task: &Task, stop: &Stop) {
        match self.draw(task, stop) {
            Ok(drawn) => self.teller.tell(Event::Drawn(Box::new(drawn))),
            Err(Error::Cancelled) => self.teller.tell(Event::Stopped(task.id)),
            Err(error) => {
                self.forget_lost(&task.choice, &error);
                let trouble = if self.is_of_picture(&error) { Trouble::of_file(&error) } else { Trouble::of(&error) };
                self.teller.tell(Event::Failed(task.id, trouble));
            }
        }
    }

    /// Whether an error is about a file of a picture, not about one of the model.
    fn is_of_picture(&self, error: &Error) -> bool {
        let Folders { pictures, inputs, .. } = &self.folders;
        match error.root() {
            Error::Io { path, .. } => path.starts_with(pictures) || path.starts_with(inputs),
            Error::File { file, .. } => Path::new(file).starts_with(inputs),
            _ => false,
        }
    }

    /// Forgets a device that was lost, so that the next command opens another one. The window's own is gone for good,
    /// where it was the one in use.
    fn forget_lost(&mut self, choice: &Choice, error: &Error) {
        if matches!(error.root(), Error::DeviceLost(_)) {
            self.open = None;
            if choice.adapter.is_none() {
                self.shared = None;
            }
        }
    }

    /// Opens a model, unless it is open.
    fn open(&mut self, choice: &Choice, stop: &Stop) -> Result<()> {
        if let Some(open) = &self.open
            && open.choice == *choice
        {
            let facts = pollster::block_on(ModelFacts::gather(choice, &open.name, &open.pipeline, &open.room))?;
            self.teller.tell(Event::Opened(Box::new(facts)));
            return Ok(());
        }
        stop.check()?;
        let source = choice.source()?;
        let name = name(&source);
        let opening = || format!("opening the model {name}");
        // Its errors name the model.
        let mut model = pollster::block_on(Model::open(source, LoadOptions::default()))?;
        let needs = pollster::block_on(Needs::of(&model)).context(opening)?;
        // One model is in memory at a time.
        self.open = None;
        let device = device::open(choice.adapter.as_deref(), self.shared.as_ref())?;
        let room = Room { needs, memory: found(device.caps()) };
        if let Some(found) = room.memory.filter(|found| found.shared) {
            // A system that runs out of memory ends the program; an error does not.
            device.set_max_memory(Some(found.usable()));
        }
        model.options.dtype = room.dtype(choice.dtype);
        let pipeline = self.load(choice, &device, model, stop).context(|| format!("loading the model {name}"))?;
        let facts = pollster::block_on(ModelFacts::gather(choice, &name, &pipeline, &room))?;
        let projection = self.projection(&name);
        self.open = Some(Open { choice: choice.clone(), name, room, pipeline, projection });
        self.teller.tell(Event::Opened(Box::new(facts)));
        Ok(())
    }

    fn load(&self, choice: &Choice, device: &Device, model: Model, stop: &Stop) -> Result<Pipeline> {
        let told = |at: foveate::Progress<'_>| {
            let (choice, component) = (choice.clone(), at.component.into());
            self.teller.tell(Event::Loading { choice, component, done: at.done, total: at.total });
            stop.check()
        };
        stop.or(Pipeline::from_model(device, model, told))
    }

    fn draw(&mut self, task: &Task, stop: &Stop) -> Result<Drawn> {
        stop.check()?;
        if self.open.as_ref().is_none_or(|open| open.choice != task.choice) {
            self.open_and_tell(&task.choice, stop)?;
        }
        let path = names::next(&self.folders.pictures, &task.request)?;
        let Some(open) = &mut self.open else { return Err(Error::Cancelled) };
        let mut easel = Easel {
            pipeline: &open.pipeline,
            model: &open.name,
            projection: &mut open.projection,
            teller: &self.teller,
            wishes: &self.wishes,
            stop,
            inputs: &self.folders.inputs,
            shared: self.shared.as_ref(),
        };
        let drawn = easel.draw(task, path)?;
        self.keep_projection();
        Ok(drawn)
    }

    /// What was learnt about previews of this model before. Nothing, where it cannot be read: it is learnt again.
    fn projection(&self, model: &str) -> Projection {
        let read = fs::read(self.projection_path(model)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn keep_projection(&self) {
        let Some(Open { name, projection, .. }) = &self.open else { return };
        let path = self.projection_path(name);
        let kept = serde_json::to_vec(projection).map_err(|error| Error::io(&path, error.into()));
        let kept = kept.and_then(|bytes| Output::check(&path)?.stage(&bytes)?.commit());
        if let Err(error) = kept {
            log::warn!("the preview's projection was not kept: {error}");
        }
    }

    fn projection_path(&self, model: &str) -> PathBuf {
        self.folders.projections.join(format!("{}.json", names::slug(model, 80)))
    }
}
