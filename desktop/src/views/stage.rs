//! The middle of the window: the picture under way, a finished one, or two to compare; and what to do with them.

use std::path::{Path, PathBuf};

use egui::{
    Align, Align2, Color32, FontId, Layout, ProgressBar, Rect, Role, Sense, Spinner, TextureHandle, Ui, Vec2,
    WidgetInfo, pos2, vec2,
};

use super::action::Action;
use super::album::{Album, Whole};
use super::canvas::{canvas, fitted, foot};
use super::compare::{Pair, divided};
use super::computed;
use super::controls::{button, flops, quiet, seconds, title, toggle};
use super::models::Model;
use super::retouch::{Brush, retouch};
use crate::disk::Entry;
use crate::engine::{Preview, Took};
use crate::input::Input;
use crate::state::{Form, History, Live, Settings};
use crate::theme::Palette;

/// What is said in place of a picture.
const UNREADABLE: &str = "The file cannot be read";

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
    /// The picture to begin with, to paint a mask on it.
    Mask,
}

/// The middle's own state.
#[derive(Debug, Default)]
pub struct Stage {
    /// What is shown.
    pub shown: Shown,
    /// The picture that was under way last, with what was computed of it.
    pub live: Option<Live>,
    /// Where the picture of `live` is.
    pub finished: Option<PathBuf>,
    /// What a mask is painted with.
    pub brush: Brush,
}

/// What the middle looks at.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub history: &'a History,
    pub model: &'a Model,
    /// Whether a picture is being drawn.
    pub running: bool,
}

/// Shows it.
pub fn stage(
    ui: &mut Ui,
    stage: &mut Stage,
    settings: &mut Settings,
    (seen, input): (Seen<'_>, Option<&mut Input>),
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    match stage.shown.clone() {
        Shown::Live => under_way(ui, stage, settings, seen, album, actions),
        Shown::Picture(path) => finished(ui, stage, &path, (&mut settings.form, seen), album, actions),
        Shown::Pair(_) => pair(ui, stage, seen, album, actions),
        Shown::Mask => match input {
            Some(input) => retouch(ui, &mut stage.brush, input, album, actions),
            None => under_way(ui, stage, settings, seen, album, actions),
        },
    }
}

fn under_way(
    ui: &mut Ui,
    stage: &Stage,
    settings: &mut Settings,
    Seen { model, running, .. }: Seen<'_>,
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    let live = stage.live.as_ref().filter(|_| running);
    if let Some(live) = live {
        foot(ui, "under way", |ui| {
            progress(ui, live);
            ui.horizontal_wrapped(|ui| {
                if button(ui, "Cancel", "Stop this picture; finished ones are kept (Esc)").clicked() {
                    actions.push(Action::Stop);
                }
                let help =
                    "Decode the picture after every step: exact, and slower. Else colours are projected, at no cost";
                let mut exact = settings.preview == Preview::Exact;
                if toggle(ui, &mut exact, "Exact preview", "Exact preview", help).clicked() {
                    settings.preview = if exact { Preview::Exact } else { Preview::Quick };
                }
                map_toggle(ui, &mut settings.form);
            });
            if settings.form.traced {
                computed::matrix(ui, live);
            }
        });
    }
    let rect = canvas(ui);
    match live.and_then(|live| Some((live, live.preview.as_ref()?))) {
        Some((live, (picture, count))) => {
            let texture = album.live(ui.ctx(), live.job, *count, picture);
            let rect = show(ui, rect, &texture, "The picture under way");
            if settings.form.traced {
                computed::over(ui, rect, live);
            }
        }
        None if running => waiting(ui, rect, "Preparing"),
        None => idle(ui, rect, model),
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
    (form, seen): (&mut Form, Seen<'_>),
    album: &mut Album,
    actions: &mut Vec<Action>,
) {
    let mapped = stage.live.as_ref().filter(|_| form.traced && stage.finished.as_deref() == Some(path));
    if let Some(entry) = seen.history.get(path) {
        foot(ui, "finished", |ui| {
            describe(ui, entry);
            ui.horizontal_wrapped(|ui| {
                to_live(ui, seen.running, actions);
                to_do(ui, path, actions);
                map_toggle(ui, form);
            });
            if let Some(live) = mapped {
                computed::matrix(ui, live);
            }
        });
    }
    let rect = canvas(ui);
    match album.whole(path) {
        Whole::Here(texture) => {
            let rect = show(ui, rect, &texture, "The picture");
            if let Some(live) = mapped {
                computed::over(ui, rect, live);
            }
        }
        Whole::Coming => waiting(ui, rect, "Reading"),
        Whole::Unreadable => words(ui, rect, UNREADABLE),
    }
}

/// What can be done with a finished picture.
fn to_do(ui: &mut Ui, path: &Path, actions: &mut Vec<Action>) {
    let path = || path.to_owned();
    let dense = "Draw it again with every token computed, and lay both side by side (Ctrl+D)";
    for (name, help, action) in [
        ("Recall", "Take over everything that made this picture (Ctrl+R)", Action::Recall(path())),
        ("Begin with it", "Change this picture, or draw a part of it anew", Action::BeginWith(path())),
        ("Save a copy", "Save the picture elsewhere, with its request inside (Ctrl+S)", Action::SaveCopy(path())),
        ("Copy", "Copy the picture to the clipboard (Ctrl+Shift+C)", Action::Copy(path())),
        ("Show file", "Show the file in the file manager", Action::Reveal(path())),
        ("Compare", dense, Action::CompareDense(path())),
        (
            "Delete",
            "Delete the picture; its file is kept aside until the next start (Ctrl+Delete)",
            Action::Remove(path()),
        ),
    ] {
        if button(ui, name, help).clicked() {
            actions.push(action);
        }
    }
}

fn to_live(ui: &mut Ui, running: bool, actions: &mut Vec<Action>) {
    let help = "Show the picture that is being drawn (Ctrl+L)";
    if running && button(ui, "Back to live", help).clicked() {
        actions.push(Action::Follow);
    }
}

fn pair(ui: &mut Ui, stage: &mut Stage, seen: Seen<'_>, album: &mut Album, actions: &mut Vec<Action>) {
    let Shown::Pair(pair) = &mut stage.shown else { return };
    foot(ui, "pair", |ui| {
        let entries = [&pair.left, &pair.right].map(|path| seen.history.get(path));
        ui.columns(2, |columns| {
            for ((ui, entry), side) in columns.iter_mut().zip(entries).zip(["Left", "Right"]) {
                let Some(entry) = entry else { continue };
                ui.with_layout(Layout::top_down(Align::LEFT), |ui| {
                    ui.strong(format!("{side}: {}", policy(entry)));
                    quiet(ui, entry.took.as_ref().map_or("Its times are not known".into(), took));
                });
            }
        });
        ui.horizontal(|ui| {
            if button(ui, "Done", "Back to the picture on the right (Esc)").clicked() {
                actions.push(Action::Show(pair.right.clone()));
            }
            to_live(ui, seen.running, actions);
        });
    });
    let rect = canvas(ui);
    match (album.whole(&pair.left), album.whole(&pair.right)) {
        (Whole::Here(left), Whole::Here(right)) => {
            let rect = fitted(rect, right.size_vec2());
            divided(ui, rect, &left, &right, &mut pair.divider);
        }
        (Whole::Unreadable, _) | (_, Whole::Unreadable) => words(ui, rect, UNREADABLE),
        _ => waiting(ui, rect, "Reading"),
    }
}

/// What a picture is, in two lines.
fn describe(ui: &mut Ui, entry: &Entry) {
    let request = &entry.origin.request;
    ui.add(egui::Label::new(title(request)).truncate());
    let took = entry.took.as_ref().map(|spent| format!(" · {}", took(spent))).unwrap_or_default();
    quiet(ui, format!("seed {} · {} · {}{took}", request.seed, entry.origin.model, policy(entry)));
}

fn policy(entry: &Entry) -> String {
    let compression = &entry.origin.request.compression;
    let ran = entry.took.as_ref().map(|took| took.policy.as_str());
    let name = ran.or(compression.policy.as_deref()).unwrap_or("the model's policy");
    match compression.ratio {
        Some(ratio) => format!("{name}, {:.0} % saved", ratio * 100.0),
        None => name.to_owned(),
    }
}

fn took(took: &Took) -> String {
    let saved = 1.0 - took.flops as f64 / took.dense_flops.max(1) as f64;
    let saved = if saved > 0.005 { format!(", {:.0} % less than dense", saved * 100.0) } else { String::new() };
    format!("{}, {}{saved}, on {}", seconds(took.seconds), flops(took.flops), took.device)
}

fn progress(ui: &mut Ui, live: &Live) {
    let text = match (live.steps, live.seconds_left()) {
        (0, _) => "Preparing".to_owned(),
        (steps, None) => format!("Step 1 of {steps}"),
        (steps, Some(_)) if live.done == steps => "Decoding".to_owned(),
        (steps, Some(left)) => format!("Step {} of {steps}, {} left", live.done + 1, seconds(left)),
    };
    let share = live.done as f32 / live.steps.max(1) as f32;
    let bar = ui.add(ProgressBar::new(share).desired_height(20.0).text(text.as_str()));
    bar.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, text.as_str()));
}

fn show(ui: &Ui, place: Rect, texture: &TextureHandle, name: &str) -> Rect {
    let rect = fitted(place, texture.size_vec2());
    let response = ui.interact(rect, ui.scope_id().with(name), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let all = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    ui.painter().image(texture.id(), rect, all, Color32::WHITE);
    rect
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
