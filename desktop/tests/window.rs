//! The program itself in a window, on a display without a screen (Xvfb), with the pointer and the keys of the system
//! (xdotool): from the start to a picture on the disk, and again after the process was killed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod display;

use std::process::Command;

use common::{model, origin, settings};
use display::{App, Display, is_done, pictures, queue, until};
use foveate_desktop::state::Settings;

/// Says that this process, which the test starts on its display, only reads the clipboard.
const READER: &str = "FOVEATE_TEST_READER";

#[test]
fn from_the_start_to_a_picture_and_again_after_a_kill() {
    if std::env::var_os(READER).is_some() {
        return say_clipboard();
    }
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
    until("the queue says so", || queue(folder.path())?.jobs().iter().any(is_done).then_some(()));
    drop(app); // killed, not closed

    forget();
    let app = App::start(&display, folder.path());
    until("the picture is recalled", || {
        display.xdotool(&["key", "ctrl+Right"]); // the newest picture of the history
        display.xdotool(&["key", "ctrl+r"]);
        in_form()
    });
    display.xdotool(&["key", "ctrl+Return"]);
    let both = until("it is drawn again", || Some(display::pictures(folder.path())).filter(|paths| paths.len() == 2));
    assert_eq!(origin(&both[0]), origin(&both[1]));
    // The copy has all its pixels.
    until("the picture is in the clipboard", || {
        display.xdotool(&["key", "ctrl+Right"]);
        display.xdotool(&["key", "ctrl+shift+c"]);
        let mut reader = Command::new(std::env::current_exe().unwrap());
        reader
            .args(["--exact", "from_the_start_to_a_picture_and_again_after_a_kill", "--nocapture"])
            .env("DISPLAY", display.name());
        let said = reader.env(READER, "yes").output().unwrap();
        let size = image::open(&both[0]).unwrap().to_rgb8().dimensions();
        String::from_utf8(said.stdout).unwrap().contains(&format!("clipboard: Ok({size:?})")).then_some(())
    });
    drop(app);
}

/// What lies in the clipboard of this process's display.
fn say_clipboard() {
    let picture = arboard::Clipboard::new().and_then(|mut clipboard| clipboard.get_image());
    println!("clipboard: {:?}", picture.map(|picture| (picture.width as u32, picture.height as u32)));
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

/// Without a driver for Vulkan the window is shown by OpenGL.
#[test]
fn a_machine_without_vulkan_gets_a_window() {
    let (folder, display) = (tempfile::tempdir().unwrap(), Display::start());
    let kept = serde_json::to_vec(&settings(model("pixart_alpha"), "", 2)).unwrap();
    std::fs::write(folder.path().join("settings.json"), kept).unwrap();
    let started = display.app(folder.path()).env("VK_DRIVER_FILES", "/absent.json").arg("--startup-time").output();
    let started = started.unwrap();
    let said = String::from_utf8_lossy(&started.stdout);
    assert!(started.status.success(), "{said}{}", String::from_utf8_lossy(&started.stderr));
    assert!(said.contains("first frame shown: ") && said.contains("model open: "), "{said}");
}

/// Without any driver, and without a display, the program ends with a sentence that says what to do.
#[test]
fn a_program_that_cannot_open_a_window_says_why() {
    let (folder, display) = (tempfile::tempdir().unwrap(), Display::start());
    let said = |app: &mut Command| {
        let ended = app.output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        String::from_utf8(ended.stderr).unwrap()
    };
    let absent = ["VK_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_FILENAMES"].map(|name| (name, "/absent.json"));
    let driver = said(display.app(folder.path()).envs(absent));
    assert!(
        driver.starts_with("error: no window could be opened, since no graphics driver can show one. "),
        "{driver}"
    );
    assert!(driver.contains("apt-get install") && driver.trim_end().lines().count() == 1, "{driver}");
    let nowhere = said(display.app(folder.path()).env_remove("DISPLAY"));
    assert_eq!(nowhere, "error: no window could be opened: there is no display. Start the app on a desktop\n");
}
