//! The middle of the window: the picture under way, a finished one, or two to compare; and what to do with them.

use std::path::{Path, PathBuf};

use egui::{
    Align2, Color32, FontId, ProgressBar, Rect, Role, Sense, Spinner, TextureHandle, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::album::Album;
use super::compare::{Pair, divided};
use super::controls::{button, flops, quiet, seconds, toggle};
use super::models::Model;
use super::{Action, computed};
use crate::disk::Entry;
use crate::engine::{Preview, Took};
use crate::state::{Form, History, Live, Settings};
use crate::theme::{GAP, Palette};

/// How much larger than it is a picture is shown at most.
const LARGEST: f32 = 8.0;

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shown {
    /// The picture under way, or nothing yet.
    #[default]
    Live,
    /// A picture of the history.
    Picture(PathBuf),
    /// Two of them.
    Pair(Pair),
}

/// The middle's own state.
#[derive(Debug, Default)]
pub struct Stage {
    /// What is shown.
    pub shown: Shown,
    /// The picture that was under way last, with what was computed of it; its path, once it is finished.
    pub live: Option<Live>,
    /// Where the picture of `live` is.
    pub finished: Option<PathBuf>,
}

/// Shows it.
pub fn stage(
    ui: &mut Ui,
    stage: &mut Stage,
    settings: &mut Settings,
    (history, model, running): (&History, &Model, bool),
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    let Settings { form, preview, .. } = settings;
    match stage.shown.clone() {
        Shown::Live => under_way(ui, stage, (form, preview), model, running, album, actions),
        Shown::Picture(path) => finished(ui, stage, &path, form, history, running, album, actions),
        Shown::Pair(_) => pair(ui, stage, history, running, album, actions),
    }
}

fn under_way(
    ui: &mut Ui,
    stage: &Stage,
    (form, preview): (&mut Form, &mut Preview),
    model: &Model,
    running: bool,
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    let live = stage.live.as_ref().filter(|_| running);
    let foot = 64.0 + if form.traced && live.is_some() { 140.0 } else { 0.0 };
    let rect = canvas(ui, foot);
    match live.and_then(|live| Some((live, live.preview.as_ref()?))) {
        Some((live, (picture, count))) => {
            let texture = album.live(ui.ctx(), live.job, *count, picture);
            let rect = show(ui, rect, &texture, live_size(live, texture.size_vec2()), "The picture under way");
            if form.traced {
                computed::over(ui, rect, live);
            }
        }
        None if running => waiting(ui, rect, "Preparing"),
        None => idle(ui, rect, model),
    }
    if let Some(live) = live {
        progress(ui, live);
        ui.horizontal_wrapped(|ui| {
            if button(ui, "Cancel", "Stop this picture; finished ones are kept (Esc)").clicked() {
                actions.push(Action::Stop);
            }
            let help = "Decode the picture after every step: exact, and slower. Else colours are projected, at no cost";
            let mut exact = *preview == Preview::Exact;
            if toggle(ui, &mut exact, "Exact preview", "Exact preview", help).clicked() {
                *preview = if exact { Preview::Exact } else { Preview::Quick };
            }
            map_toggle(ui, form);
        });
        if form.traced {
            computed::matrix(ui, live);
        }
    }
}

fn map_toggle(ui: &mut Ui, form: &mut Form) {
    let help =
        "Record which tokens are computed, and show it over the picture: for pictures drawn from now on (Ctrl+M)";
    toggle(ui, &mut form.traced, "Token map", "Token map", help);
}

fn finished(
    ui: &mut Ui,
    stage: &Stage,
    path: &Path,
    form: &mut Form,
    history: &History,
    running: bool,
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    let mapped = stage.live.as_ref().filter(|_| form.traced && stage.finished.as_deref() == Some(path));
    let rect = canvas(ui, 64.0 + if mapped.is_some() { 140.0 } else { 0.0 });
    match album.whole(path) {
        Some(texture) => {
            let rect = show(ui, rect, &texture, texture.size_vec2(), "The picture");
            if let Some(live) = mapped {
                computed::over(ui, rect, live);
            }
        }
        None => waiting(ui, rect, "Reading"),
    }
    let Some(entry) = history.get(path) else { return };
    describe(ui, entry);
    ui.horizontal_wrapped(|ui| {
        if running
            && button(ui, "Back to the picture under way", "Show the picture that is being drawn (Ctrl+L)").clicked()
        {
            actions.push(Action::Follow);
        }
        let path = || path.to_owned();
        for (name, help, action) in [
            ("Recall", "Take over everything that made this picture (Ctrl+R)", Action::Recall(path())),
            ("Save a copy", "Save the picture elsewhere, with its request inside (Ctrl+S)", Action::SaveCopy(path())),
            ("Copy", "Copy the picture to the clipboard (Ctrl+Shift+C)", Action::Copy(path())),
            ("Show file", "Show the file in the file manager", Action::Reveal(path())),
            (
                "Compare with dense",
                "Draw it again with every token computed, and lay both side by side (Ctrl+D)",
                Action::CompareDense(path()),
            ),
            ("Delete", "Delete the picture from the disk (Ctrl+Delete)", Action::Remove(path())),
        ] {
            if button(ui, name, help).clicked() {
                actions.push(action);
            }
        }
        map_toggle(ui, form);
    });
    if let Some(live) = mapped {
        computed::matrix(ui, live);
    }
}

fn pair(
    ui: &mut Ui,
    stage: &mut Stage,
    history: &History,
    running: bool,
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    let Shown::Pair(pair) = &mut stage.shown else { return };
    let rect = canvas(ui, 100.0);
    match (album.whole(&pair.left), album.whole(&pair.right)) {
        (Some(left), Some(right)) => {
            let rect = fitted(rect, right.size_vec2());
            divided(ui, rect, &left, &right, &mut pair.divider);
        }
        _ => waiting(ui, rect, "Reading"),
    }
    let entries = [&pair.left, &pair.right].map(|path| history.get(path));
    ui.columns(2, |columns| {
        for ((ui, entry), side) in columns.iter_mut().zip(entries).zip(["Left", "Right"]) {
            let Some(entry) = entry else { continue };
            ui.strong(format!("{side}: {}", policy(entry)));
            quiet(ui, entry.took.as_ref().map_or("Its times are not known".into(), took));
        }
    });
    ui.horizontal(|ui| {
        if button(ui, "Done", "Back to the picture on the right (Esc)").clicked() {
            actions.push(Action::Show(pair.right.clone()));
        }
        if running
            && button(ui, "Back to the picture under way", "Show the picture that is being drawn (Ctrl+L)").clicked()
        {
            actions.push(Action::Follow);
        }
    });
}

/// What a picture is, in two lines.
fn describe(ui: &mut Ui, entry: &Entry) {
    let request = &entry.origin.request;
    let what = match request.class {
        Some(class) => format!("Class {class}"),
        None => request.prompt.clone(),
    };
    ui.add(egui::Label::new(what).truncate());
    let took = entry.took.as_ref().map(|spent| format!(" · {}", took(spent))).unwrap_or_default();
    quiet(ui, format!("seed {} · {} · {}{took}", request.seed, entry.origin.model, policy(entry)));
}

fn policy(entry: &Entry) -> String {
    let compression = &entry.origin.request.compression;
    let name = compression.policy.as_deref().unwrap_or("the model's policy");
    match compression.ratio {
        Some(ratio) => format!("{name}, {:.0} % saved", ratio * 100.0),
        None => name.to_owned(),
    }
}

fn took(took: &Took) -> String {
    let saved = 1.0 - took.flops as f64 / took.dense_flops.max(1) as f64;
    let saved = if saved > 0.005 { format!(", {:.0} % less than dense", saved * 100.0) } else { String::new() };
    format!("{} in all steps, {}{saved} · {}", seconds(took.seconds), flops(took.flops), took.device)
}

fn progress(ui: &mut Ui, live: &Live) {
    let text = match (live.steps, live.seconds_left()) {
        (0, _) => "Preparing".to_owned(),
        (steps, None) => format!("Step 1 of {steps}"),
        (steps, Some(_)) if live.done == steps => "Decoding".to_owned(),
        (steps, Some(left)) => format!("Step {} of {steps}, {} left", live.done + 1, seconds(left)),
    };
    let share = live.done as f32 / live.steps.max(1) as f32;
    ui.add(ProgressBar::new(share).desired_height(20.0).text(text));
}

/// The place for the picture: all but `foot` at the bottom, or as much as is needed.
fn canvas(ui: &mut Ui, foot: f32) -> Rect {
    let size = vec2(ui.available_width(), (ui.available_height() - foot).max(80.0));
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 8.0, Palette::of(ui).ground);
    rect.shrink(GAP)
}

fn show(ui: &Ui, place: Rect, texture: &TextureHandle, size: Vec2, name: &str) -> Rect {
    let rect = fitted(place, size);
    let response = ui.interact(rect, ui.scope_id().with(name), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let all = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    ui.painter().image(texture.id(), rect, all, Color32::WHITE);
    rect
}

/// As large as fits, in the middle.
fn fitted(place: Rect, size: Vec2) -> Rect {
    let scale = (place.width() / size.x).min(place.height() / size.y).min(LARGEST);
    Rect::from_center_size(place.center(), size * scale)
}

/// A projected preview has a pixel for each latent one: it is shown as large as the finished picture.
fn live_size(live: &Live, preview: Vec2) -> Vec2 {
    let _ = live;
    preview * (512.0 / preview.max_elem()).max(1.0)
}

fn waiting(ui: &mut Ui, rect: Rect, what: &str) {
    ui.put(Rect::from_center_size(rect.center() - vec2(0.0, 16.0), Vec2::splat(28.0)), Spinner::new());
    words(ui, rect, what);
}

fn idle(ui: &mut Ui, rect: Rect, model: &Model) {
    match model {
        Model::Loading { component, done, total } => {
            let share = *done as f64 / (*total).max(1) as f64;
            waiting(ui, rect, &format!("Loading the {}: {:.0} %", component.replace('_', " "), share * 100.0));
        }
        Model::Opening => waiting(ui, rect, "Opening the model"),
        Model::Failed(_) => words(ui, rect, "No model is open. The page Models has others"),
        Model::Open(_) => words(ui, rect, "Write a prompt, then press Ctrl+Enter"),
    }
}

fn words(ui: &Ui, rect: Rect, text: &str) {
    let at = rect.center() + vec2(0.0, 16.0);
    ui.painter().text(at, Align2::CENTER_CENTER, text, FontId::proportional(14.0), Palette::of(ui).quiet);
}
