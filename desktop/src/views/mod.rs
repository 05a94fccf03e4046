//! The parts of the window. A view shows a part of the state and pushes what the user did; it changes nothing else than
//! the fields that it lets the user fill in.

mod action;
mod album;
mod begin;
mod canvas;
mod compare;
mod compose;
mod computed;
mod controls;
mod header;
mod history;
mod machine;
mod models;
mod notices;
mod policy;
mod queue;
mod retouch;
mod stage;

pub use action::{Action, Page};
pub use album::Album;
pub use compare::Pair;
pub use compose::{PROMPT, compose};
pub use header::header;
pub use history::{SEARCH, history};
pub use machine::machine;
pub use models::{Model, models};
pub use notices::notices;
pub use queue::queue;
pub use stage::{Seen, Shown, Stage, stage};
