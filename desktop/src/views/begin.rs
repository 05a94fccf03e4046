//! The part of the form for a picture to begin with: which one, how much of it changes, and how it is fitted.

use egui::{Checkbox, ComboBox, Image, Sense, Ui, WidgetInfo, vec2};
use foveate::Compression;
use foveate::photo::{Border, Breadth};

use super::action::Action;
use super::album::Album;
use super::controls::{button, number, optional, quiet, row};
use crate::disk::Question;
use crate::input::{Beginning, Input};
use crate::state::Form;

/// The longest side of the small picture.
const SIDE: f32 = 120.0;
/// The widest seam.
const MOST_FEATHER: u32 = 1024;
/// The most of a side that is added at once, in percent.
const MOST_ADDED: u32 = 200;
/// The sides of a picture.
const SIDES: [&str; 4] = ["left", "top", "right", "bottom"];

/// Shows it.
pub(super) fn begin(ui: &mut Ui, form: &mut Form, input: (Option<&Input>, &mut Album), actions: &mut Vec<Action>) {
    let (input, album) = input;
    let (Some(input), Some(beginning)) = (input, &mut form.beginning) else {
        let help =
            "Change a picture, or draw a part of it anew: PNG, JPEG or WebP. It can be dropped on the window too";
        if button(ui, "Choose a picture…", help).clicked() {
            actions.push(Action::Ask(Question::Input));
        }
        return;
    };
    picture(ui, input, album, actions);
    let masked = !input.painting.is_empty();
    let help = "How much of the noise the picture gets, above 0 and up to 1: little keeps it, 1 draws anew";
    let default = if masked { 1.0 } else { 0.8 };
    optional(ui, "Strength", help, &mut form.request.strength, default, |value| {
        number(value, 0.01..=1.0, 0.005).fixed_decimals(2)
    });
    fit(ui, beginning);
    if masked {
        mask(ui, beginning, &mut form.request.compression);
    }
    let larger = ui.collapsing("Draw beyond its edges", |ui| extend(ui, actions));
    larger.header_response.on_hover_text("Put the picture on a larger canvas, whose border is drawn");
}

fn picture(ui: &mut Ui, input: &Input, album: &mut Album, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let texture = album.input(ui.ctx(), input);
        let image = Image::from_texture(&texture).fit_to_exact_size(vec2(SIDE, SIDE)).sense(Sense::hover());
        let response = ui.add(image.maintain_aspect_ratio(true));
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, "The picture to begin with"));
        ui.vertical(|ui| {
            let (width, height) = input.size;
            quiet(ui, format!("{width} × {height}"));
            if !input.painting.is_empty() {
                quiet(ui, format!("{:.1} % is masked", input.painting.share() * 100.0));
            }
            let help = "Mark the part that is drawn anew; the rest stays as it is (Ctrl+B)";
            if button(ui, "Paint a mask", help).clicked() {
                actions.push(Action::Paint);
            }
            if button(ui, "Another…", "Begin with another picture").clicked() {
                actions.push(Action::Ask(Question::Input));
            }
            if button(ui, "No picture", "Begin with noise alone").clicked() {
                actions.push(Action::BeginWithout);
            }
        });
    });
}

fn fit(ui: &mut Ui, beginning: &mut Beginning) {
    let help = "Where the picture has another ratio than the canvas: crop it, or show it whole and repeat its edges";
    row(ui, "Fit", help, |ui| {
        let names = ["Crop", "Pad"];
        let combo = ComboBox::from_id_salt("fit").selected_text(names[usize::from(beginning.pad)]).width(80.0);
        let shown = combo.show_ui(ui, |ui| {
            ui.selectable_value(&mut beginning.pad, false, names[0]);
            ui.selectable_value(&mut beginning.pad, true, names[1]);
        });
        shown.response
    });
}

fn mask(ui: &mut Ui, beginning: &mut Beginning, compression: &mut Compression) {
    let help = "Pixels around the mask over which what is drawn fades into the picture. 0 changes no pixel outside";
    row(ui, "Feather", help, |ui| ui.add(number(&mut beginning.feather, 0..=MOST_FEATHER, 0.2)));
    let mut only = compression.masked.is_some();
    let help = "Compute the tokens under the mask and next to it alone, and all tokens in every tenth step: faster, and \
                nearly the same";
    if ui.add(Checkbox::new(&mut only, "Compute only the mask")).on_hover_text(help).changed() {
        compression.masked = only.then(Default::default);
    }
}

fn extend(ui: &mut Ui, actions: &mut Vec<Action>) {
    let id = ui.scope_id().with("added");
    let mut added = ui.data(|data| data.get_temp::<[u32; 4]>(id)).unwrap_or([25, 0, 25, 0]);
    for (side, percent) in SIDES.iter().zip(&mut added) {
        let help = format!("How much is added at the {side}, as a share of the picture");
        row(ui, &format!("Added at the {side}"), &help, |ui| ui.add(number(percent, 0..=MOST_ADDED, 0.2).suffix(" %")));
    }
    ui.data_mut(|data| data.insert_temp(id, added));
    let help = "Enlarges the picture. What is added is masked, so that it is drawn";
    let enlarge = ui.add_enabled(added != [0; 4], egui::Button::new("Enlarge"));
    if enlarge.on_hover_text(help).clicked() {
        let [left, top, right, bottom] = added.map(|percent| Breadth::Percent(percent as f32));
        actions.push(Action::Extend(Border { left, top, right, bottom }));
    }
}
