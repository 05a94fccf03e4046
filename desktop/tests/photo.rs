//! Drawings that begin with a picture: chosen, painted on, drawn, and there again after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod desk;

use std::path::PathBuf;
use std::sync::Arc;

use common::{model, origin, settings};
use desk::{CTRL, Desk};
use egui::{Event, Key, Modifiers, PointerButton, Pos2, TouchDeviceId, TouchId, TouchPhase, vec2};
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
    desk.harness.hover_at(middle + vec2(60.0, 0.0));
    desk.harness.step();
    desk.harness.drop_at(middle + vec2(60.0, 0.0));
    desk.harness.step();
    desk.harness.step();
    let stroke = marked(&desk);
    assert!(stroke > 0.5, "{stroke}");
    // By keys: the picture has the focus. Away from the stroke, and a dab.
    for _ in 0..8 {
        desk.key(NONE, Key::ArrowUp);
    }
    desk.key(NONE, Key::Space);
    desk.harness.step();
    let both = marked(&desk);
    assert!(both > stroke, "{both} {stroke}");
    desk.key(CTRL, Key::Z);
    desk.harness.step();
    assert_eq!(marked(&desk), stroke);
    desk.key(CTRL, Key::Y);
    desk.harness.step();
    assert_eq!(marked(&desk), both);
    desk.click("Invert");
    desk.until("it is inverted", |desk| (marked(desk) - (100.0 - both)).abs() < 0.2);
    desk.click("Undo");
    desk.until("it is as before", |desk| marked(desk) == both);

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

/// The mask editor, open: where the picture is, and the app.
fn painting() -> (Desk, egui::Rect) {
    let (mut desk, _) = begun();
    desk.click("Paint a mask");
    desk.until("the mask is empty", |desk| desk.says("Mask: 0.0 % is marked"));
    desk.settle();
    let sheet = desk.harness.get_by_label_contains("Mask: ").rect();
    (desk, sheet)
}

/// How much is marked, in percent.
fn marked(desk: &Desk) -> f32 {
    let text = desk.harness.get_by_label_contains("Mask: ").accesskit_node().label().unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Shows a frame with these events, and one that says what came of them.
fn frame(desk: &mut Desk, events: impl IntoIterator<Item = Event>) {
    desk.harness.input_mut().events.extend(events);
    desk.harness.step();
    desk.harness.step();
}

fn press(pos: Pos2, pressed: bool) -> Event {
    Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: NONE }
}

/// Where a frame takes long, a whole stroke lies within one. It is as when each event has a frame.
#[test]
fn a_quick_stroke_follows_the_pointer() {
    let (mut desk, sheet) = painting();
    let [first, corner, last] =
        [(-0.3, -0.3), (0.3, -0.3), (0.3, 0.3)].map(|(x, y)| sheet.center() + sheet.size() * vec2(x, y));
    let stroke = [
        Event::PointerMoved(first),
        press(first, true),
        Event::PointerMoved(corner),
        Event::PointerMoved(last),
        press(last, false),
    ];
    stroke.clone().into_iter().for_each(|event| frame(&mut desk, [event]));
    let slow = marked(&desk);
    assert!(slow > 5.0, "{slow}");
    desk.key(CTRL, Key::Z);
    desk.harness.step();
    assert_eq!(marked(&desk), 0.0);
    frame(&mut desk, stroke);
    assert_eq!(marked(&desk), slow);
    // Elsewhere it marks nothing.
    let beside = sheet.left_center() - vec2(40.0, 0.0);
    frame(
        &mut desk,
        [
            Event::PointerMoved(beside),
            press(beside, true),
            Event::PointerMoved(sheet.center()),
            press(sheet.center(), false),
        ],
    );
    assert_eq!(marked(&desk), slow);
}

#[test]
fn the_rectangle_marks_and_the_eraser_clears() {
    let (mut desk, sheet) = painting();
    desk.click("Rectangle");
    // The left half by pointer, beyond the edges.
    frame(&mut desk, [Event::PointerMoved(sheet.left_top()), press(sheet.left_top(), true)]);
    frame(&mut desk, [Event::PointerMoved(sheet.center_bottom())]);
    assert_eq!(marked(&desk), 0.0, "it is marked when the button is released");
    frame(&mut desk, [press(sheet.center_bottom(), false)]);
    assert!((marked(&desk) - 50.0).abs() < 1.0, "{}", marked(&desk));
    // The picture is 48 by 32: the brush begins at 5 % of the longer side, which is a stride of 2.4 pixels.
    desk.click("Eraser");
    let middle = sheet.left_center() + vec2(sheet.width() / 4.0, 0.0);
    frame(&mut desk, [Event::PointerMoved(middle), press(middle, true)]);
    frame(&mut desk, [press(middle, false)]);
    let cleared = 50.0 - marked(&desk);
    assert!((0.5..2.0).contains(&cleared), "{cleared}");
    // It clears nothing that is not marked, and is taken back.
    let right = sheet.right_center() - vec2(sheet.width() / 4.0, 0.0);
    frame(&mut desk, [Event::PointerMoved(right), press(right, true)]);
    frame(&mut desk, [press(right, false)]);
    assert!((50.0 - marked(&desk) - cleared).abs() < 0.11, "{}", marked(&desk));
    for _ in 0..2 {
        desk.key(CTRL, Key::Z);
    }
    desk.harness.step();
    assert!((marked(&desk) - 50.0).abs() < 1.0, "{}", marked(&desk));

    // By keys: Space at two corners, from the middle to the lower right.
    desk.click("Clear");
    desk.click("Rectangle");
    frame(&mut desk, [Event::PointerMoved(sheet.center()), press(sheet.center(), true)]);
    frame(&mut desk, [press(sheet.center(), false)]);
    let before = marked(&desk);
    desk.key(NONE, Key::Space);
    for _ in 0..30 {
        desk.key(NONE, Key::ArrowRight);
        desk.key(NONE, Key::ArrowDown);
    }
    desk.key(NONE, Key::Space);
    desk.harness.step();
    assert!((marked(&desk) - before - 25.0).abs() < 2.5, "{before} {}", marked(&desk));
    desk.harness.check_accessibility();
}

/// Touch as eframe hands it over: each contact with the pointer that it stands for.
#[test]
fn fingers_paint() {
    let (mut desk, sheet) = painting();
    let contact =
        |phase, pos| Event::Touch { device_id: TouchDeviceId(1), id: TouchId(7), phase, pos, force: Some(0.5) };
    let down = |pos| [contact(TouchPhase::Start, pos), Event::PointerMoved(pos), press(pos, true)];
    let moved = |pos| [contact(TouchPhase::Move, pos), Event::PointerMoved(pos)];
    let up = |pos| [contact(TouchPhase::End, pos), press(pos, false), Event::PointerGone];
    let [left, right] = [sheet.left_center() + vec2(40.0, 0.0), sheet.right_center() - vec2(40.0, 0.0)];
    frame(&mut desk, down(left));
    let dab = marked(&desk);
    assert!(dab > 0.5, "{dab}");
    frame(&mut desk, moved(right));
    frame(&mut desk, up(right));
    let stroke = marked(&desk);
    assert!(stroke > 5.0 * dab, "{stroke} {dab}");
    // A finger that comes down elsewhere draws no line from where the last was lifted.
    let top = sheet.center_top() + vec2(0.0, 30.0);
    frame(&mut desk, down(top));
    frame(&mut desk, up(top));
    let both = marked(&desk);
    assert!((both - stroke - dab).abs() < 0.3, "{both} {stroke} {dab}");
    // A tap so short that all of it comes in one frame is a dab, too.
    let bottom = sheet.center_bottom() - vec2(0.0, 30.0);
    frame(&mut desk, down(bottom).into_iter().chain(up(bottom)));
    let tapped = marked(&desk);
    assert!((tapped - both - dab).abs() < 0.3, "{tapped} {both} {dab}");
    // The system takes a contact away, and the next one begins anew.
    let cancelled = [contact(TouchPhase::Cancel, left), Event::PointerGone];
    frame(&mut desk, down(left));
    frame(&mut desk, cancelled);
    let corner = sheet.right_bottom() - vec2(30.0, 30.0);
    frame(&mut desk, down(corner));
    frame(&mut desk, up(corner));
    let last = marked(&desk);
    assert!((last - tapped - dab).abs() < 0.3, "{last} {tapped} {dab}");
    for _ in 0..4 {
        desk.click("Undo");
    }
    desk.until("all but the stroke is taken back", |desk| (marked(desk) - stroke).abs() < 0.3);
    // One that rests first, and then draws the same line.
    desk.click("Undo");
    desk.settle();
    frame(&mut desk, down(left));
    desk.settle();
    frame(&mut desk, moved(right));
    frame(&mut desk, up(right));
    assert!((marked(&desk) - stroke).abs() < 0.3, "{} {stroke}", marked(&desk));
}

#[test]
fn a_picture_that_is_padded_is_shown_whole() {
    let (mut desk, picture) = begun();
    desk.choose("Fit", "Pad");
    // A square canvas: three halves as wide as it is high, the picture is cropped or padded.
    desk.click("Size");
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    let padded = desk.jobs()[0].clone();
    assert!(padded.beginning.unwrap().pad && padded.request.size.is_some_and(|size| size.width == size.height));
    assert_eq!(picture.dimensions(), (48, 32));
    // What the picture does not cover is cut off again: it comes back in its own ratio.
    let drawn = pixels(&desk.pictures()[0]);
    let ratio = drawn.width() as f32 / drawn.height() as f32;
    assert!((ratio - 1.5).abs() < 0.2, "{:?}", drawn.dimensions());
    desk.choose("Fit", "Crop");
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 2);
    let cropped = pixels(&desk.pictures()[1]);
    assert_eq!(cropped.width(), cropped.height());
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
