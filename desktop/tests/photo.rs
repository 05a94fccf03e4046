//! Drawings that begin with a picture: chosen, painted on, drawn, and there again after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod desk;

use std::path::PathBuf;
use std::sync::Arc;

use common::{model, origin, settings};
use desk::{CTRL, Desk};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use foveate::{Request, Size};
use foveate_desktop::state::{Queue, Settings, State};
use image::{Rgb, RgbImage};

const NONE: Modifiers = Modifiers::NONE;

fn done(desk: &Desk) -> usize {
    desk.jobs().iter().filter(|job| matches!(job.state, State::Done(_))).count()
}

fn pixels(path: &PathBuf) -> RgbImage {
    image::open(path).unwrap().to_rgb8()
}

/// A picture of somebody, larger than what the tiny model draws and of another ratio.
fn photo(desk: &Desk) -> (PathBuf, RgbImage) {
    let path = desk.folder.path().join("mine.png");
    let picture = RgbImage::from_fn(48, 32, |x, y| Rgb([5 * x as u8, 7 * y as u8, 90]));
    picture.save(&path).unwrap();
    (path, picture)
}

/// An app with the picture dropped on it, and the section of the form open.
fn begun() -> (Desk, RgbImage) {
    begun_behind(&Queue::default(), &settings(model("pixart_alpha"), "a house", 2))
}

/// The same, with jobs of an earlier start in the queue.
fn begun_behind(queue: &Queue, settings: &Settings) -> (Desk, RgbImage) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("queue.json"), serde_json::to_vec(queue).unwrap()).unwrap();
    std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(settings).unwrap()).unwrap();
    let mut desk = Desk::again(folder).opened();
    let (path, picture) = photo(&desk);
    desk.drop_on(&path);
    desk.click("Begin with a picture");
    desk.until("it is there", |desk| desk.says("The picture to begin with"));
    (desk, picture)
}

#[test]
fn a_picture_is_changed() {
    let (mut desk, picture) = begun();
    desk.harness.check_accessibility();
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    let path = desk.pictures().remove(0);
    assert_eq!(origin(&path).given, ["image"]);
    assert!(pixels(&path).width() > pixels(&path).height(), "it has the picture's ratio");
    assert_ne!(pixels(&path), picture);
    // Without it the next one begins with noise.
    desk.click("No picture");
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 2);
    assert!(origin(&desk.pictures()[1]).given.is_empty());
}

#[test]
fn what_is_painted_is_drawn_and_every_other_pixel_is_kept() {
    let (mut desk, picture) = begun();
    desk.click("Paint a mask");
    desk.until("the mask is empty", |desk| desk.says("Mask: 0.0 % is marked"));
    desk.harness.check_accessibility();
    // By pointer, from the middle of the picture to the right.
    let middle = desk.harness.get_by_label_contains("Mask: ").rect().center();
    desk.harness.drag_at(middle);
    desk.harness.step();
    desk.harness.hover_at(middle + egui::vec2(60.0, 0.0));
    desk.harness.step();
    desk.harness.drop_at(middle + egui::vec2(60.0, 0.0));
    desk.harness.step();
    desk.harness.step();
    let said = |desk: &Desk| {
        let text = desk.harness.get_by_label_contains("Mask: ").accesskit_node().label().unwrap();
        text.split(' ').nth(1).unwrap().parse::<f32>().unwrap()
    };
    let stroke = said(&desk);
    assert!(stroke > 0.5, "{stroke}");
    // By keys: the picture has the focus. Away from the stroke, and a dab.
    for _ in 0..8 {
        desk.key(NONE, Key::ArrowUp);
    }
    desk.key(NONE, Key::Space);
    desk.harness.step();
    let both = said(&desk);
    assert!(both > stroke, "{both} {stroke}");
    desk.key(CTRL, Key::Z);
    desk.harness.step();
    assert_eq!(said(&desk), stroke);
    desk.key(CTRL, Key::Y);
    desk.harness.step();
    assert_eq!(said(&desk), both);
    desk.click("Invert");
    desk.until("it is inverted", |desk| (said(desk) - (100.0 - both)).abs() < 0.2);
    desk.click("Undo");
    desk.until("it is as before", |desk| said(desk) == both);

    desk.key(NONE, Key::Escape);
    desk.click("Compute only the mask");
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    let path = desk.pictures().remove(0);
    let said = origin(&path);
    assert_eq!(said.given, ["image", "mask"]);
    assert!(said.request.compression.masked.is_some());
    // The mask as it was kept says where the picture may differ.
    let job = desk.jobs()[0].beginning.clone().unwrap();
    let mask = image::open(desk.folder.path().join("inputs").join(job.mask.unwrap())).unwrap().to_luma8();
    let drawn = pixels(&path);
    assert_eq!(drawn.dimensions(), picture.dimensions());
    let mut changed = 0;
    for (x, y, pixel) in drawn.enumerate_pixels() {
        let differs = pixel != picture.get_pixel(x, y);
        assert!(mask.get_pixel(x, y).0[0] > 0 || !differs, "{x} {y} is outside the mask");
        changed += usize::from(differs);
    }
    assert!(changed > 0, "nothing was drawn under the mask");
}

#[test]
fn a_queue_that_begins_with_pictures_comes_back() {
    // A long job is in front: the one with the picture waits for it, and for nothing that the test does.
    let settings = settings(model("pixart_alpha"), "a house", 2);
    let mut queue = Queue::default();
    let long = Request { steps: Some(400), size: Some(Size::square(64)), ..Request::prompt("a long one") };
    queue.add(settings.choice.clone(), long);
    let (mut desk, picture) = begun_behind(&queue, &settings);
    desk.click("Draw beyond its edges");
    desk.click("Enlarge");
    desk.until("it is larger", |desk| desk.says("72 × 32"));
    desk.until("its border is masked", |desk| desk.says("33.3 % is masked"));
    desk.key(CTRL, Key::Enter);
    desk.until("the job is there", |desk| desk.jobs().len() == 2);
    desk.until("the long one is drawn", |desk| desk.says(" of 400, "));
    let job = desk.jobs()[1].clone();
    assert_eq!((&desk.jobs()[0].state, &job.state), (&State::Running, &State::Waiting));
    assert!(job.beginning.as_ref().is_some_and(|beginning| beginning.mask.is_some()), "{job:?}");
    let folder = desk.folder.clone();
    std::fs::write(folder.path().join("inputs/0000.png"), "left over").unwrap();
    drop(desk);

    let mut desk = Desk::again(folder).opened();
    assert_eq!(desk.jobs()[0].state, State::Waiting);
    assert_eq!(desk.jobs()[1], job);
    desk.until("what nobody begins with is gone", |desk| !desk.folder.path().join("inputs/0000.png").exists());
    desk.click("Cancel: a long one");
    desk.click("Continue");
    desk.until("it is drawn", |desk| done(desk) == 1);
    assert_eq!(desk.jobs()[0].state, State::Cancelled);
    let drawn = pixels(&desk.pictures()[0]);
    assert_eq!(drawn.dimensions(), (72, 32));
    for (x, y, pixel) in picture.enumerate_pixels() {
        assert_eq!(drawn.get_pixel(x + 12, y), pixel, "{x} {y}");
    }
    // The form has it again, with its mask.
    desk.click("Begin with a picture");
    desk.until("the form has it", |desk| desk.says("72 × 32") && desk.says("33.3 % is masked"));
}

#[test]
fn a_drawn_picture_is_begun_with_and_what_is_none_is_refused() {
    let mut desk = Desk::start(&settings(model("pixart_alpha"), "a house", 1)).opened();
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    desk.click("Begin with it");
    desk.click("Begin with a picture");
    desk.until("it is there", |desk| desk.says("The picture to begin with"));
    // A picture that is gone when its job begins fails the job, in a sentence that is not about the model.
    for entry in std::fs::read_dir(desk.folder.path().join("inputs")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    desk.key(CTRL, Key::Enter);
    desk.until("it fails", |desk| desk.jobs().iter().any(|job| matches!(job.state, State::Failed(_))));
    let State::Failed(reason) = desk.jobs()[1].state.clone() else { panic!("{:?}", desk.jobs()) };
    assert!(reason.starts_with("reading the picture to begin with: ") && !reason.contains("model"), "{reason}");
}
