//! The program itself in a window, on a display without a screen (Xvfb), with the pointer and the keys of the system
//! (xdotool).
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use foveate_desktop::state::{Job, Queue, State};

/// As long as the slowest machine needs to open a window or to draw a tiny picture.
const PATIENCE: Duration = Duration::from_secs(120);

/// A display without a screen, gone when this is dropped.
pub struct Display {
    server: Child,
    name: String,
}

impl Display {
    pub fn start() -> Self {
        let mut command = Command::new("Xvfb");
        // A server without clients would begin anew, and refuse those that come meanwhile.
        command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]);
        let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = started.expect("Xvfb is missing: apt-get install xvfb xdotool");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, name: format!(":{}", number.trim()) }
    }

    /// What programs call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program, on this display.
    pub fn app(&self, folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate-app"));
        command.arg("--data").arg(folder).env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Waits for the window, and gives it the keys: no window manager is there to do it. Looks with `look` meanwhile.
    fn focus(&self, mut look: impl FnMut()) -> String {
        let window = until("a window opens", || {
            look();
            let found = self.xdotool(&["search", "--onlyvisible", "--name", "^Foveate$"]);
            found.lines().next().map(str::to_owned)
        });
        self.xdotool(&["windowfocus", "--sync", &window]);
        window
    }

    /// Runs xdotool; returns what it prints.
    pub fn xdotool(&self, words: &[&str]) -> String {
        let done = Command::new("xdotool").env("DISPLAY", &self.name).args(words).output();
        let done = done.expect("xdotool is missing: apt-get install xvfb xdotool");
        std::thread::sleep(Duration::from_millis(500)); // what was pressed is seen in a later frame
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Asked, not killed: a killed server leaves its socket behind, which the next one trips over.
        let asked = Command::new("kill").arg(self.server.id().to_string()).status();
        assert!(asked.is_ok_and(|asked| asked.success()), "the display does not end");
        self.server.wait().unwrap();
    }
}

/// The program, killed when this is dropped.
pub struct App(Process);

enum Process {
    Child(Child),
    /// One that another process has started.
    Other(String),
}

impl App {
    pub fn start(display: &Display, folder: &Path) -> Self {
        let mut child = display.app(folder).spawn().unwrap();
        display.focus(|| {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the app ended before its window opened: {ended:?}");
        });
        Self(Process::Child(child))
    }

    /// The one whose window is there.
    pub fn found(display: &Display) -> Self {
        let window = display.focus(|| {});
        Self(Process::Other(display.xdotool(&["getwindowpid", &window]).trim().to_owned()))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        match &mut self.0 {
            Process::Child(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Process::Other(id) => {
                let killed = Command::new("kill").args(["-KILL", id]).status();
                assert!(killed.is_ok_and(|killed| killed.success()), "{id} is gone");
            }
        }
    }
}

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn pictures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("pictures")).unwrap();
    // A file that is being written has a name of its own.
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .collect();
    paths.sort();
    paths
}

/// The queue as it is on the disk.
pub fn queue(folder: &Path) -> Option<Queue> {
    serde_json::from_slice(&std::fs::read(folder.join("queue.json")).ok()?).ok()
}

pub fn is_done(job: &Job) -> bool {
    matches!(job.state, State::Done(_))
}
