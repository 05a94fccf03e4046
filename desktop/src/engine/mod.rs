//! The engine: one thread that owns the device and the model, and draws one picture after the other. The window sends
//! it commands and reads its events; nothing of it runs on the window's thread.

mod choice;
mod device;
mod drawing;
mod facts;
mod message;
pub(crate) mod names;
mod projection;
mod trouble;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

pub use choice::{Choice, Storage};
pub use device::Shared;
pub use facts::{ModelFacts, PolicyFacts};
pub use message::{Command, Drawn, Event, Preview, Stop, Task, Took, Traced, Wake, Wishes};
pub use projection::Projection;
pub use trouble::Trouble;
pub use worker::Folders;

use foveate::Error;
use foveate_studio::doctor::Report;
use message::Teller;
use worker::Worker;

/// The window's end of the engine.
pub struct Engine {
    /// None once it was told to end.
    commands: Option<Sender<Command>>,
    events: Receiver<Event>,
    teller: Teller,
    thread: Option<JoinHandle<()>>,
    /// What the window wishes to see, which may change while a picture is drawn.
    pub wishes: Arc<Wishes>,
}

impl Engine {
    /// Starts the thread. With `shared` it draws on the window's own device where no other is asked for.
    pub fn start(shared: Option<Shared>, folders: Folders, wake: Wake) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (outbox, events) = channel();
        let wishes = Arc::new(Wishes::default());
        let teller = Teller { events: outbox, wake };
        let worker = Worker::new(shared, folders, teller.clone(), wishes.clone());
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || worker.run(&inbox))?;
        Ok(Self { commands: Some(commands), events, teller, thread: Some(thread), wishes })
    }

    /// Hands over a command. The engine takes them in order.
    pub fn send(&self, command: Command) {
        // The thread ends only with the engine itself; where it has panicked, its silence is noticed by `alive`.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }

    /// Describes this machine for a bug report, beside whatever is drawn. Which device draws is left open: that may
    /// change after.
    pub fn describe(&self) {
        let teller = self.teller.clone();
        let describe = move || {
            let report = pollster::block_on(Report::gather(None));
            teller.tell(Event::Machine(report.map(Box::new).map_err(|error| Trouble::of(&error))));
        };
        if let Err(error) = std::thread::Builder::new().name("doctor".into()).spawn(describe) {
            let trouble = Trouble::of_file(&Error::io("a thread of this program", error));
            self.teller.tell(Event::Machine(Err(trouble)));
        }
    }

    /// The next event, if there is one.
    pub fn event(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Whether the thread still runs.
    pub fn alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Engine {
    /// Waits for the step under way: a device must not go away beneath it. Whoever drops this raises the [`Stop`] of
    /// the running task first.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
