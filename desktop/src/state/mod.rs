//! What the window shows, as plain data: no widget and no thread is in here.

mod form;
mod history;
mod live;
mod notices;
mod queue;
mod same;
mod settings;

pub use form::{Form, roll};
pub use history::History;
pub use live::Live;
pub use notices::{Kind, Notice, Notices};
pub use queue::{Job, Queue, State};
pub use same::obstacles;
pub use settings::Settings;
