//! The program killed at the worst moments, and started again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod desk;
mod display;

use std::sync::Arc;
use std::time::Duration;

use common::{model, origin, settings};
use desk::Desk;
use display::{App, Display, is_done, pictures, queue, until};
use foveate::Request;
use foveate_desktop::state::{Queue, Settings, State};

/// Steps that take some seconds. (With as many as there are timesteps, 1000, the model's scheduler has no finite ones: the
/// picture would fail instead.)
const LONG: usize = 900;

/// Killed while a picture is drawn: it waits for the next start, and what was drawn before is there.
#[test]
fn a_program_that_is_killed_while_it_draws_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let write = |steps| {
        let mut settings = settings(model("pixart_alpha"), "a castle", steps);
        settings.form.pictures = 2;
        std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
    };
    let display = Display::start();
    for (round, steps) in [1, LONG].into_iter().enumerate() {
        write(steps);
        let app = App::start(&display, folder.path());
        until("jobs are in the queue", || {
            display.xdotool(&["key", "ctrl+Return"]);
            Some(()).filter(|()| queue(folder.path()).is_some_and(|queue| queue.jobs().len() > 2 * round))
        });
        if steps == 1 {
            until("they are drawn", || queue(folder.path())?.jobs().iter().all(is_done).then_some(()));
        } else {
            until("one is being drawn", || queue(folder.path())?.running().map(drop));
        }
        drop(app); // killed
    }
    let drawn = pictures(folder.path());
    let before = queue(folder.path()).unwrap();
    let (done, rest): (Vec<_>, Vec<_>) = before.jobs().iter().partition(|job| is_done(job));
    assert!(!rest.is_empty() && drawn.len() == done.len(), "{} {done:?} {rest:?}", drawn.len());

    // The next start has all of it, and goes on when it is told to.
    let mut desk = Desk::again(Arc::new(folder)).opened();
    desk.until("the history is read", |desk| desk.says(&format!("{} pictures", drawn.len())));
    assert_eq!(desk.jobs().len(), before.jobs().len());
    let waits = |desk: &Desk| desk.jobs().iter().filter(|job| job.state == State::Waiting).count();
    assert_eq!(waits(&desk), rest.len(), "{:#?}, before {rest:#?}", desk.jobs());
    assert!(desk.says("waiting when the app was closed"));
    desk.click("Continue");
    desk.until("it goes on", |desk| waits(desk) + 1 == rest.len());
}

/// The window's device is lost while pictures wait: the program starts itself again with all of them, and goes on.
#[test]
fn a_program_that_loses_its_device_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(model("pixart_alpha"), "a castle", 1);
    (settings.form.pictures, settings.choice.adapter) = (2, None);
    std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
    let mut before = Queue::default();
    before.add(settings.choice.clone(), Request { steps: Some(1), ..Request::prompt("a fox") });
    std::fs::write(folder.path().join("queue.json"), before.to_keep().unwrap()).unwrap();
    let display = Display::start();
    let mut first = display.app(folder.path()).arg("--lose-device").spawn().unwrap();
    let ended = until("the first ends by itself", || first.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
    let again = App::found(&display);
    until("all are drawn", || {
        display.xdotool(&["key", "ctrl+Return"]);
        queue(folder.path())?.jobs().iter().filter(|job| is_done(job)).nth(2).map(drop)
    });
    assert!(queue(folder.path()).unwrap().jobs().iter().any(|job| job.request.prompt == "a fox" && is_done(job)));
    drop(again);
}

/// Killed again and again while it writes pictures and the queue: each file is whole, whatever the moment.
#[test]
fn a_program_that_is_killed_while_it_writes_leaves_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(model("pixart_alpha"), "a fox", 1);
    (settings.form.pictures, settings.form.request.guidance) = (40, Some(1.0));
    let display = Display::start();
    let mut drawn = 0;
    for round in 0..5 {
        std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
        let app = App::start(&display, folder.path());
        until("pictures are drawn", || {
            display.xdotool(&["key", "ctrl+Return"]);
            (pictures(folder.path()).len() > drawn).then_some(())
        });
        std::thread::sleep(Duration::from_millis(37 * round));
        drop(app); // killed

        let kept = queue(folder.path()).expect("the queue is whole");
        let there = pictures(folder.path());
        there.iter().for_each(|path| assert_eq!(origin(path).request.prompt, "a fox"));
        for path in there.iter().chain(
            &std::fs::read_dir(folder.path().join("inputs"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>(),
        ) {
            image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        // What the queue says is done is done. It forgets the oldest, and may not yet know of the last.
        for job in kept.jobs() {
            if let State::Done(path) = &job.state {
                assert!(there.contains(path), "{} is gone", path.display());
            }
        }
        assert!(there.len() > drawn, "{} after {drawn}", there.len());
        drawn = there.len();
        let _: Settings = serde_json::from_slice(&std::fs::read(folder.path().join("settings.json")).unwrap()).unwrap();
        assert!(!folder.path().join("queue.unreadable.json").exists());
    }
}
