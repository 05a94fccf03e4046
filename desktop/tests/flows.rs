//! What people do with the app, from the first press to the file on the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod desk;

use std::path::Path;
use std::sync::Arc;

use common::{model, origin, settings};
use desk::{CTRL, Desk};
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use foveate::Request;
use foveate_desktop::disk::Places;
use foveate_desktop::engine::{Choice, Took};
use foveate_desktop::state::{Queue, State};
use foveate_desktop::views::Model;
use foveate_studio::{About, Origin};

fn done(desk: &Desk) -> usize {
    desk.jobs().iter().filter(|job| matches!(job.state, State::Done(_))).count()
}

#[test]
fn a_prompt_becomes_a_picture_with_its_request_inside() {
    let mut desk = Desk::start(&settings(model("pixart_alpha"), "", 2)).opened();
    desk.harness.get_by_label("Prompt").focus();
    desk.harness.step();
    desk.harness.get_by_label("Prompt").type_text("a red house by a river");
    desk.harness.step();
    desk.key(CTRL, Key::Enter);
    desk.until("the picture is drawn", |desk| done(desk) == 1);
    let pictures = desk.pictures();
    assert_eq!(pictures.len(), 1);
    let said = origin(&pictures[0]);
    assert_eq!(
        (said.request.prompt.as_str(), said.request.seed, said.request.steps),
        ("a red house by a river", 7, Some(2))
    );
    desk.until("it is in the history", |desk| desk.says("Picture: a red house by a river"));
    desk.until("it is shown, with what it took", |desk| desk.says("seed 7") && desk.says("GFLOP"));
    desk.harness.check_accessibility();
}

#[test]
fn several_pictures_follow_each_other_and_the_search_finds_one() {
    let mut settings = settings(model("pixart_alpha"), "a fox", 1);
    settings.form.pictures = 3;
    let mut desk = Desk::start(&settings).opened();
    desk.click("Draw (Ctrl+Enter)");
    desk.until("all are drawn", |desk| done(desk) == 3);
    let seeds: Vec<u64> = desk.pictures().iter().map(|path| origin(path).request.seed).collect();
    assert_eq!(seeds, [7, 8, 9]);
    assert!(desk.says("3 pictures"));
    desk.key(CTRL, Key::F);
    desk.harness.get_by_label("History").type_text("fox 8");
    desk.harness.step();
    desk.harness.step();
    assert!(desk.says("1 picture"));
    // What is found is deleted, and kept aside.
    desk.click("Picture: a fox");
    desk.click("Delete");
    desk.until("it is gone", |desk| desk.pictures().len() == 2);
    desk.until("the user is told", |desk| desk.says("Deleted. Until the next start"));
    assert_eq!(std::fs::read_dir(desk.folder.path().join("removed")).unwrap().count(), 1);
}

#[test]
fn cancelling_keeps_what_is_finished() {
    let mut desk = Desk::start(&settings(model("pixart_alpha"), "a short one", 1)).opened();
    desk.key(CTRL, Key::Enter);
    desk.until("the first is drawn", |desk| done(desk) == 1);
    let folder = desk.folder.clone();
    drop(desk);
    let mut long = settings(model("pixart_alpha"), "a long one", 400);
    long.form.pictures = 3;
    std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&long).unwrap()).unwrap();
    let mut desk = Desk::again(folder).opened();
    desk.key(CTRL, Key::Enter);
    desk.until("steps are taken", |desk| desk.says(" of 400, "));
    desk.key(Modifiers::NONE, Key::Escape);
    assert_eq!(desk.jobs()[1].state, State::Cancelled);
    desk.until("the next one begins", |desk| desk.jobs()[2].state == State::Running);
    desk.key(Modifiers::SHIFT, Key::Escape);
    let (first, rest) = desk.jobs().split_first().unwrap();
    assert!(matches!(first.state, State::Done(_)), "{first:?}");
    assert!(rest.len() == 3 && rest.iter().all(|job| job.state == State::Cancelled), "{rest:?}");
    let pictures = desk.pictures();
    assert_eq!(pictures.len(), 1);
    assert_eq!(origin(&pictures[0]).request.prompt, "a short one");
}

#[test]
fn the_queue_can_be_ordered_and_retried() {
    let settings = settings(model("pixart_alpha"), "", 1);
    let mut queue = Queue::default();
    for prompt in ["first", "second", "third"] {
        queue.add(settings.choice.clone(), Request { steps: Some(1), ..Request::prompt(prompt) });
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("queue.json"), queue.to_keep().unwrap()).unwrap();
    std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
    let mut desk = Desk::again(folder).opened();
    desk.click("Earlier: third");
    desk.click("Later: first");
    let order = |desk: &Desk| desk.jobs().iter().map(|job| job.request.prompt.clone()).collect::<Vec<_>>();
    assert_eq!(order(&desk), ["third", "first", "second"]);
    desk.click("Cancel: first");
    assert_eq!(desk.jobs()[1].state, State::Cancelled);
    desk.harness.check_accessibility();
    desk.click("Retry: first");
    desk.until("all are drawn", |desk| done(desk) == 3);
    let drawn: Vec<_> = desk.pictures().iter().map(|path| origin(path).request.prompt).collect();
    assert_eq!(drawn, ["third", "second", "first"]);
}

#[test]
fn a_closed_app_comes_back_with_its_queue() {
    let mut desk = Desk::start(&settings(model("pixart_alpha"), "a castle", 60)).opened();
    desk.key(CTRL, Key::Enter);
    desk.until("it runs", |desk| desk.jobs()[0].state == State::Running);
    let folder = desk.folder.clone();
    drop(desk);
    let mut desk = Desk::again(folder).opened();
    assert_eq!(desk.jobs()[0].state, State::Waiting);
    assert!(desk.says("waiting when the app was closed"));
    desk.click("Continue");
    desk.until("it is drawn", |desk| done(desk) == 1);
    assert_eq!(origin(&desk.pictures()[0]).request.prompt, "a castle");
}

#[test]
fn a_picture_dropped_on_the_window_is_recalled_and_drawn_again() {
    let mut desk = Desk::start(&settings(model("pixart_alpha"), "a lighthouse", 2)).opened();
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    let first = desk.pictures().remove(0);

    let mut other = Desk::start(&settings(model("pixart_alpha"), "something else", 1)).opened();
    other.drop_on(&first);
    other.until("it is recalled", |desk| desk.says("is in the form"));
    other.key(CTRL, Key::Enter);
    other.until("it is drawn", |desk| done(desk) == 1);
    let second = other.pictures().remove(0);
    assert_eq!(origin(&second), origin(&first));
    let pixels = |path: &Path| image::open(path).unwrap().to_rgb8();
    assert_eq!(pixels(&second), pixels(&first));

    let text = other.folder.path().join("text.png");
    std::fs::write(&text, "no picture").unwrap();
    other.drop_on(&text);
    other.until("it is refused", |desk| desk.says("it is no picture in PNG"));
}

/// A picture of the history may be larger than any texture: a part of a large photo that was drawn anew, say.
#[test]
fn a_picture_larger_than_any_texture_is_shown() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let places = Places::below(folder.path().into()).unwrap();
    let request = Request { seed: 77, ..Request::prompt("a long wall") };
    let about = About { origin: Origin::new(&request, "scenes", None, "DDIMScheduler"), text: Vec::new() };
    let bytes = about.png(&image::RgbImage::new(20_000, 3), 0, &Took::default().words()).unwrap();
    std::fs::write(places.pictures().join("00001.png"), bytes).unwrap();
    let settings = settings(model("pixart_alpha"), "x", 1);
    std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
    let mut desk = Desk::again(folder).opened();
    desk.click("Picture: a long wall");
    desk.until("it is shown", |desk| desk.says("seed 77"));
    desk.until("whole", |desk| desk.harness.query_by_label("The picture").is_some());
}

#[test]
fn a_broken_model_is_one_sentence_and_another_can_be_opened() {
    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("model_index.json"), "{\"_class_name\": \"PixArtAlphaPipeline\"}").unwrap();
    let mut desk = Desk::start(&settings(broken.path().to_str().unwrap().into(), "a house", 1));
    desk.until("it is refused", |desk| desk.says("Opening the model") || desk.says("Loading the model"));
    desk.key(CTRL, Key::Enter);
    assert!(desk.jobs().is_empty());
    desk.key(CTRL, Key::Num2);
    assert!(desk.says("Try again"));
    desk.harness.check_accessibility();
    // A folder that is dropped is opened.
    desk.drop_on(Path::new(&model("pixart_alpha")));
    let mut desk = desk.opened();
    desk.key(CTRL, Key::Num1);
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
}

#[test]
fn a_job_of_another_model_takes_its_place_for_a_while() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let own = folder.path().join("own");
    copy(Path::new(&model("pixart_alpha")), &own);
    let settings = settings(own.to_str().unwrap().into(), "a house", 1);
    let mut queue = Queue::default();
    let other = Choice { model: model("dit_ddim"), ..settings.choice.clone() };
    queue.add(other, Request { steps: Some(1), ..Request::class(0) });
    std::fs::write(folder.path().join("queue.json"), queue.to_keep().unwrap()).unwrap();
    std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
    let mut desk = Desk::again(folder).opened();
    desk.click("Continue");
    desk.until("the other model's is drawn", |desk| done(desk) == 1);
    assert!(desk.harness.state().model().facts().is_some(), "{:?}", desk.harness.state().model());
    // A picture of another model has no counterpart of this one.
    desk.until("it is shown", |desk| desk.says("seed 0"));
    desk.key(CTRL, Key::D);
    assert!(desk.says("The counterpart is not drawn") && desk.jobs().len() == 1);
    // The model in use has to be loaded again for its own job, and that failure is the model's, too.
    std::fs::remove_dir_all(own).unwrap();
    desk.key(CTRL, Key::Enter);
    desk.until("it fails", |desk| matches!(desk.jobs()[1].state, State::Failed(_)));
    assert!(matches!(desk.harness.state().model(), Model::Failed(_)), "{:?}", desk.harness.state().model());
}

#[test]
fn a_class_model_draws_classes() {
    let mut desk = Desk::start(&settings(model("dit_ddim"), "left over", 2)).opened();
    assert!(desk.harness.query_by_label("Prompt").is_none());
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    let request = origin(&desk.pictures()[0]).request;
    assert_eq!((request.class, request.prompt.as_str()), (Some(0), ""));
    desk.harness.check_accessibility();
}

#[test]
fn a_routed_picture_has_a_map_and_is_compared_with_the_dense_one() {
    let mut settings = settings(model("routed/pixart_sigma_mlp"), "a house", 3);
    settings.form.traced = true;
    let mut desk = Desk::start(&settings).opened();
    desk.key(CTRL, Key::Enter);
    desk.until("it is drawn", |desk| done(desk) == 1);
    desk.until("the map is shown", |desk| desk.says("Layers by steps: "));
    assert!(!desk.says("Layers by steps: 100 %"));
    desk.key(CTRL, Key::D);
    desk.until("both are shown", |desk| desk.says("Divider between the two pictures"));
    desk.until("they are named", |desk| desk.says("Left: dense") && desk.says("less than dense"));
    assert_eq!(desk.pictures().len(), 2);
    desk.harness.check_accessibility();
}

#[test]
fn every_page_names_its_controls_and_the_machine_is_described() {
    let mut desk = Desk::start(&settings(model("pixart_alpha"), "x", 1)).opened();
    for key in [Key::Num1, Key::Num2, Key::Num3] {
        desk.key(CTRL, key);
        desk.harness.check_accessibility();
    }
    desk.until("the report is there", |desk| desk.says("Copy the text"));
    desk.harness.check_accessibility();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
