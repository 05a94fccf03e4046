//! The app without a window: its controls by their names for screen readers, its threads as they are.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{DroppedFile, Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use foveate_desktop::app::App;
use foveate_desktop::disk::Places;
use foveate_desktop::state::{Job, Settings};
use foveate_desktop::theme;
use tempfile::TempDir;

/// As long as the slowest machine needs for a few steps of a tiny model.
const PATIENCE: Duration = Duration::from_secs(120);

pub const CTRL: Modifiers = Modifiers::COMMAND;

/// A running app, and the folder that it keeps its things in.
pub struct Desk {
    pub harness: Harness<'static, App>,
    pub folder: Arc<TempDir>,
}

impl Desk {
    /// Starts the app with these settings.
    pub fn start(settings: &Settings) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(settings).unwrap()).unwrap();
        Self::again(folder)
    }

    /// Starts it with what an earlier start has kept.
    pub fn again(folder: Arc<TempDir>) -> Self {
        let places = Places::below(folder.path().into()).unwrap();
        let app = App::new(places, None, Arc::new(|| {})).unwrap();
        let show = |ui: &mut egui::Ui, app: &mut App| {
            app.logic(ui.ctx());
            app.ui(ui);
        };
        let builder = Harness::builder().with_size(vec2(1180.0, 780.0)).with_context_setup(theme::dress);
        let mut harness = builder.build_ui_state(show, app);
        harness.step();
        Self { harness, folder }
    }

    /// Shows frames until `done`.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}; {:#?}; {:?}", self.jobs(), self.labels());
            std::thread::sleep(Duration::from_millis(5));
            self.harness.step();
        }
    }

    /// Waits until the model is open.
    pub fn opened(mut self) -> Self {
        self.until("the model opens", |desk| desk.harness.state().model().facts().is_some());
        self
    }

    pub fn jobs(&self) -> &[Job] {
        self.harness.state().queue().jobs()
    }

    /// Presses a key.
    pub fn key(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.step();
    }

    /// Presses the control of this name.
    pub fn click(&mut self, name: &str) {
        self.until(name, |desk| desk.harness.query_by_label(name).is_some());
        // Where it is out of sight or still moves, a pointer would miss it.
        self.harness.get_by_label(name).scroll_to_me();
        let (mut before, mut still) = (egui::Rect::NOTHING, 0);
        while still < 5 {
            self.harness.step();
            let now = self.harness.get_by_label(name).rect();
            still = if std::mem::replace(&mut before, now) == now { still + 1 } else { 0 };
        }
        self.harness.get_by_label(name).click();
        self.harness.step();
        self.harness.step();
    }

    /// Shows frames until nothing moves any more: panels find their sizes in the first ones.
    pub fn settle(&mut self) {
        (0..8).for_each(|_| self.harness.step());
    }

    /// Chooses an entry of the menu of this name.
    pub fn choose(&mut self, menu: &str, entry: &str) {
        self.click(menu);
        self.click(entry);
    }

    /// Drops a file or a folder on the window.
    pub fn drop_on(&mut self, path: &Path) {
        self.harness.input_mut().dropped_files.push(Arc::new(File(path.to_owned())));
        self.harness.step();
    }

    /// Whether a text is on the screen, or a part of one.
    pub fn says(&self, text: &str) -> bool {
        self.harness.query_all_by_label_contains(text).next().is_some()
    }

    /// All that is on the screen, by name.
    fn labels(&self) -> Vec<String> {
        let all = self.harness.query_all_by_label_contains("");
        all.filter_map(|node| node.accesskit_node().label()).collect()
    }

    /// The pictures on the disk, the oldest first.
    pub fn pictures(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("pictures")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

/// A file of this machine.
#[derive(Debug)]
struct File(PathBuf);

impl DroppedFile for File {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}
