//! A step that takes long is left at once, on the processor as on a GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{model, settings};
use foveate::Size;
use foveate_desktop::disk::Places;
use foveate_desktop::engine::{Command, Engine, Event, Stop, Task};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_long_step_is_left_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let places = Places::below(folder.path().into()).unwrap();
    let engine = Engine::start(None, places.folders(), Arc::new(|| {})).unwrap();
    let settings = settings(model("pixart_alpha"), "a house", 3);
    let mut request = settings.form.request;
    request.size = Some(Size::square(112));
    let stop = Stop::default();
    let task = Task { id: 1, choice: settings.choice, request, beginning: None };
    engine.send(Command::Draw(Box::new(task), stop.clone()));
    let step = wait(&engine, |event| match event {
        Event::Step { seconds, .. } => Some(Duration::from_secs_f64(seconds)),
        Event::Failed(_, trouble) => panic!("{}", trouble.line()),
        _ => None,
    });
    std::thread::sleep(step / 4);
    let clock = Instant::now();
    stop.raise();
    wait(&engine, |event| match event {
        Event::Stopped(1) => Some(()),
        Event::Step { index, .. } => panic!("step {index} was taken to its end"),
        _ => None,
    });
    let left = clock.elapsed();
    // A quarter of the step was over. What is left of one op is waited for, and this model has few that are long.
    assert!(left < step * 3 / 5, "a step takes {step:?}, and was left after {left:?}");
}

fn wait<T>(engine: &Engine, found: impl Fn(Event) -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match engine.event().and_then(&found) {
            Some(found) => return found,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    panic!("waited in vain");
}
