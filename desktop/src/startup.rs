//! How long the program takes to open, from its first line on: for `--startup-time`.

use std::time::{Duration, Instant};

use egui::{Context, ViewportCommand};
use foveate_desktop::views::Model;

/// A start that is timed.
#[derive(Clone, Debug)]
pub struct Startup {
    began: Instant,
    /// When the window and its device were there.
    opened: Duration,
    /// Frames that were begun.
    frames: u64,
    /// When the first frame was on the screen, with every control on it.
    usable: Option<Duration>,
    told: bool,
}

impl Startup {
    /// It begins now.
    pub fn now() -> Self {
        Self { began: Instant::now(), opened: Duration::ZERO, frames: 0, usable: None, told: false }
    }

    /// The window is open, and nothing is drawn on it yet.
    pub fn opened(self) -> Self {
        Self { opened: self.began.elapsed(), ..self }
    }

    /// A frame begins: the one before is on the screen. Once the model is open, all is printed and the window closed.
    pub fn frame(&mut self, ctx: &Context, model: &Model) {
        self.frames += 1;
        if self.frames == 2 {
            self.usable = Some(self.began.elapsed());
        }
        let over = !matches!(model, Model::Opening | Model::Loading { .. });
        match self.usable {
            Some(usable) if over && !self.told => {
                self.told = true;
                let [opened, usable, model] = [self.opened, usable, self.began.elapsed()].map(|at| at.as_millis());
                println!("window open: {opened} ms, first frame shown: {usable} ms, model open: {model} ms");
                ctx.send_viewport_cmd(ViewportCommand::Close);
            }
            _ => ctx.request_repaint(),
        }
    }
}
