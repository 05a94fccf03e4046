//! What the window and the engine say to each other.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::task::Poll;

use foveate::{Error, Grid, Request, Result};
use foveate_studio::Origin;
use foveate_studio::doctor::Report;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::choice::Choice;
use super::facts::ModelFacts;
use super::trouble::Trouble;
use crate::input::Beginning;

/// Wakes the window when there is an event to read.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What the window asks for.
#[derive(Debug)]
pub enum Command {
    /// Open a model; it takes the place of the one before.
    Open(Choice, Stop),
    /// Draw a picture, with the model that it names.
    Draw(Box<Task>, Stop),
}

/// A picture to draw.
#[derive(Clone, Debug)]
pub struct Task {
    /// Comes back in every event about it.
    pub id: u64,
    /// What it is drawn with.
    pub choice: Choice,
    /// What is drawn: one picture.
    pub request: Request,
    /// The picture that it begins with.
    pub beginning: Option<Beginning>,
}

/// Tells the engine to stop what it was handed over with. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops what it was handed over with.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// What `work` returns. Once this is raised, `work` is left where it gives way next: on a GPU between two slices, on
    /// the processor between two ops.
    pub(super) fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        pollster::block_on(poll_fn(|context| match self.check() {
            Ok(()) => work.as_mut().poll(context),
            Err(stopped) => Poll::Ready(Err(stopped)),
        }))
    }

    /// An error once it was raised.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// How the picture is shown while it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preview {
    /// By a linear projection of the latents, which costs nothing worth mentioning.
    #[default]
    Quick,
    /// Decoded after every step, which costs as much as decoding the finished picture.
    Exact,
    /// Not at all.
    Off,
}

/// What the window wishes to see, read by the engine after every step.
#[derive(Debug, Default)]
pub struct Wishes(AtomicU8);

impl Wishes {
    /// Wishes for such previews.
    pub fn set(&self, preview: Preview) {
        self.0.store(preview as u8, Ordering::Relaxed);
    }

    pub(super) fn preview(&self) -> Preview {
        let wished = self.0.load(Ordering::Relaxed);
        [Preview::Quick, Preview::Exact, Preview::Off].into_iter().find(|p| *p as u8 == wished).unwrap_or_default()
    }
}

/// What the engine tells.
#[derive(Debug)]
pub enum Event {
    /// A model is being opened: bytes of a component on the device.
    Loading { choice: Choice, component: String, done: u64, total: u64 },
    /// A model is open.
    Opened(Box<ModelFacts>),
    /// A model could not be opened.
    NotOpened(Choice, Trouble),
    /// A task has begun: the run is prepared.
    Began { task: u64, steps: usize, grid: Grid, warnings: Vec<String> },
    /// A step is done.
    Step { task: u64, index: usize, seconds: f64, preview: Option<RgbImage>, traced: Option<Traced> },
    /// A picture is finished.
    Drawn(Box<Drawn>),
    /// A task failed.
    Failed(u64, Trouble),
    /// A task was stopped.
    Stopped(u64),
    /// This machine; or why it could not be looked at.
    Machine(Result<Box<Report>, Trouble>),
}

/// What a policy computed in one step, of the picture's conditional half.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// The share of the tokens that each layer computed; 1 where it computed all.
    pub layers: Vec<f32>,
    /// The share of the layers that computed each token.
    pub tokens: Vec<f32>,
}

/// A finished picture.
#[derive(Debug)]
pub struct Drawn {
    /// Whose it is.
    pub task: u64,
    /// Where its file is to be.
    pub path: PathBuf,
    /// The file.
    pub png: Arc<[u8]>,
    /// What the file says about itself.
    pub origin: Origin,
    /// What it took.
    pub took: Took,
    /// The picture, as large as it is shown.
    pub picture: RgbImage,
    /// The picture, small.
    pub thumbnail: RgbImage,
}

/// What drawing a picture took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Took {
    /// Seconds of all steps together.
    pub seconds: f64,
    /// Floating-point operations of all steps.
    pub flops: u64,
    /// What they would have been if every token had been computed.
    pub dense_flops: u64,
    /// The device.
    pub device: String,
    /// The policy that the run had.
    pub policy: String,
}

impl Took {
    /// As text for a picture, to be read back by [`Took::from_words`]. All pictures name their policy.
    pub fn words(&self) -> [(&'static str, String); 4] {
        [
            ("seconds", format!("{:.3}", self.seconds)),
            ("flops", self.flops.to_string()),
            ("dense_flops", self.dense_flops.to_string()),
            ("device", self.device.clone()),
        ]
    }

    /// From the text of a picture. None where it does not say; the command line's do not.
    pub fn from_words(words: &[(String, String)]) -> Option<Self> {
        let word = |name: &str| words.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str());
        Some(Self {
            seconds: word("seconds")?.parse().ok().filter(|seconds: &f64| seconds.is_finite())?,
            flops: word("flops")?.parse().ok()?,
            dense_flops: word("dense_flops")?.parse().ok()?,
            device: word("device")?.to_owned(),
            policy: word("compress")?.to_owned(),
        })
    }
}

/// The engine's voice.
#[derive(Clone)]
pub(super) struct Teller {
    pub events: Sender<Event>,
    pub wake: Wake,
}

impl Teller {
    /// Tells, and wakes the window. Where nobody listens any more, the engine is about to end.
    pub fn tell(&self, event: Event) {
        let _ = self.events.send(event);
        (self.wake)();
    }
}
