//! The history strip: every picture on the disk, the newest to the left, and the search.

use std::path::Path;

use egui::{Button, Id, Image, ScrollArea, TextEdit, Ui, vec2};

use super::action::Action;
use super::album::Album;
use super::controls::{button, named, quiet, title};
use crate::disk::{Entry, Question};
use crate::state::History;

/// The id of the search field.
pub const SEARCH: &str = "search";
/// The side of a thumbnail.
const SIDE: f32 = 92.0;
/// Thumbnails that are laid out at most; the search finds the rest.
const MOST: usize = 400;

/// Shows it; the picture at `shown` is marked.
pub fn history(ui: &mut Ui, history: &mut History, shown: Option<&Path>, album: &mut Album, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let title = ui.strong("History");
        let field = TextEdit::singleline(&mut history.sought).id(Id::unique(SEARCH)).hint_text("Search prompts");
        let help = "Shows the pictures whose prompt, model or seed has all these words (Ctrl+F)";
        let width = (ui.available_width() - 270.0).clamp(90.0, 200.0);
        ui.add(field.desired_width(width)).labelled_by(title.id).on_hover_text(help);
        let help = "Take over everything that made a picture: choose its file, or drop it on the window (Ctrl+O)";
        if button(ui, "Recall from file", help).clicked() {
            actions.push(Action::Ask(Question::Picture));
        }
        let found = history.found().count();
        quiet(ui, if found == 1 { "1 picture".into() } else { format!("{found} pictures") });
    });
    if history.is_empty() {
        quiet(ui, if history.read { "Pictures that you draw are kept here." } else { "Reading the pictures…" });
        return;
    }
    ScrollArea::horizontal().auto_shrink([false, true]).show(ui, |ui| {
        ui.horizontal(|ui| {
            for entry in history.found().take(MOST) {
                picture(ui, entry, shown == Some(entry.path.as_path()), album, actions);
            }
        });
    });
}

fn picture(ui: &mut Ui, entry: &Entry, shown: bool, album: &mut Album, actions: &mut Vec<Action>) {
    let request = &entry.origin.request;
    let title = title(request);
    // Off screen, only the place is kept.
    let (size, origin) = (vec2(SIDE + 8.0, SIDE + 8.0), ui.cursor().min);
    if !ui.is_rect_visible(egui::Rect::from_min_size(origin, size)) {
        ui.allocate_exact_size(size, egui::Sense::hover());
        return;
    }
    let texture = album.thumbnail(ui.ctx(), entry);
    let image = Image::from_texture(texture).fit_to_exact_size(vec2(SIDE, SIDE)).maintain_aspect_ratio(true);
    let response = ui.add_sized(size, Button::image(image).selected(shown));
    let response = named(response, &format!("Picture: {title}"));
    let response = response.on_hover_text(format!("{title}\nseed {} · {}", request.seed, entry.origin.model));
    if response.clicked() {
        actions.push(Action::Show(entry.path.clone()));
    }
    response.context_menu(|ui| {
        let path = || entry.path.clone();
        for (name, action) in [
            ("Recall", Action::Recall(path())),
            ("Begin with it", Action::BeginWith(path())),
            ("Save a copy", Action::SaveCopy(path())),
            ("Copy", Action::Copy(path())),
            ("Show file", Action::Reveal(path())),
            ("Delete", Action::Remove(path())),
        ] {
            if ui.button(name).clicked() {
                actions.push(action);
                ui.close();
            }
        }
    });
}
