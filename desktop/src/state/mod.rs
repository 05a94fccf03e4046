//! What the window shows, as plain data: no widget and no thread is in here.

mod form;
mod history;
mod input;
mod live;
mod notices;
mod painting;
mod queue;
mod same;
mod settings;

pub use form::{Form, roll};
pub use history::History;
pub use input::{Beginning, Input};
pub use live::Live;
pub use notices::{Kind, Notice, Notices};
pub use painting::{Painting, Place};
pub use queue::{Job, Queue, State};
pub use same::obstacles;
pub use settings::Settings;
