//! The program itself in a window, on a display without a screen (Xvfb), with the pointer and the keys of the system
//! (xdotool): from the start to a picture on the disk, and again after the process was killed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{model, origin, settings};
use foveate_desktop::state::{Queue, Settings, State};

/// As long as the slowest machine needs to open a window or to draw a tiny picture.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn from_the_start_to_a_picture_and_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(model("pixart_alpha"), "", 2);
    settings.choice.adapter = None; // as people start it
    let kept = folder.path().join("settings.json");
    let forget = || std::fs::write(&kept, serde_json::to_vec(&settings).unwrap()).unwrap();
    // The form is kept with the settings. What is pressed before the window listens is pressed again.
    let in_form = || {
        let settings: Option<Settings> = serde_json::from_slice(&std::fs::read(&kept).ok()?).ok();
        (settings?.form.request.prompt == "a red house").then_some(())
    };
    forget();
    let display = Display::start();

    let app = App::start(&display, folder.path());
    until("the prompt is in the form", || {
        display.xdotool(&["mousemove", "140", "95", "click", "1", "key", "ctrl+a"]);
        display.xdotool(&["type", "--delay", "15", "a red house"]);
        in_form()
    });
    display.xdotool(&["key", "ctrl+Return"]);
    let pictures = until("a picture is on the disk", || Some(pictures(folder.path())).filter(|paths| paths.len() == 1));
    let said = origin(&pictures[0]);
    assert_eq!((said.request.prompt.as_str(), said.request.seed), ("a red house", 7));
    let queue = folder.path().join("queue.json");
    until("the queue says so", || {
        let kept: Option<Queue> = serde_json::from_slice(&std::fs::read(&queue).ok()?).ok();
        kept?.jobs().iter().any(|job| matches!(job.state, State::Done(_))).then_some(())
    });
    drop(app); // killed, not closed

    forget();
    let app = App::start(&display, folder.path());
    until("the picture is recalled", || {
        display.xdotool(&["key", "ctrl+Right"]); // the newest picture of the history
        display.xdotool(&["key", "ctrl+r"]);
        in_form()
    });
    display.xdotool(&["key", "ctrl+Return"]);
    let both = until("it is drawn again", || Some(self::pictures(folder.path())).filter(|paths| paths.len() == 2));
    assert_eq!(origin(&both[0]), origin(&both[1]));
    drop(app);
}

/// It opens, tells how long that took, and closes by itself. How long that may be depends on the machine.
#[test]
fn the_start_is_timed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = serde_json::to_vec(&settings(model("pixart_alpha"), "", 2)).unwrap();
    std::fs::write(folder.path().join("settings.json"), settings).unwrap();
    let display = Display::start();
    let timed = display.app(folder.path()).arg("--startup-time").output().unwrap();
    let said = String::from_utf8(timed.stdout).unwrap();
    let times: Vec<u64> = said.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    assert!(timed.status.success() && said.lines().count() == 1, "{said} {}", String::from_utf8_lossy(&timed.stderr));
    assert!(times.len() == 3 && times.is_sorted() && times[0] > 0, "{said}");
}

/// A display without a screen, gone when this is dropped.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    fn start() -> Self {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]);
        let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = started.expect("Xvfb is missing: apt-get install xvfb xdotool");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, name: format!(":{}", number.trim()) }
    }

    /// The program, on this display.
    fn app(&self, folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate-app"));
        command.arg("--data").arg(folder).env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Runs xdotool; returns what it prints.
    fn xdotool(&self, words: &[&str]) -> String {
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
struct App(Child);

impl App {
    fn start(display: &Display, folder: &Path) -> Self {
        let mut app = Self(display.app(folder).spawn().unwrap());
        let window = until("a window opens", || {
            let ended = app.0.try_wait().unwrap();
            assert!(ended.is_none(), "the app ended before its window opened: {ended:?}");
            let found = display.xdotool(&["search", "--onlyvisible", "--name", "^Foveate$"]);
            found.lines().next().map(str::to_owned)
        });
        // No window manager is there to do it.
        display.xdotool(&["windowfocus", "--sync", &window]);
        app
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn pictures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("pictures")).unwrap();
    // A file that is being written has a name of its own.
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .collect();
    paths.sort();
    paths
}
