//! The top of the window: the pages, and how the window looks.

use egui::{RichText, ThemePreference, Ui};

use super::action::{Action, Page};
use super::controls::{quiet, sign};

/// Below this width there is no room for the device's name.
const ROOM: f32 = 260.0;

/// The pages: name, and what is there.
const PAGES: [(Page, &str, &str); 3] = [
    (Page::Draw, "Pictures", "Prompt, picture, queue and history (Ctrl+1)"),
    (Page::Models, "Models", "Which model draws, how it is stored and on which device (Ctrl+2)"),
    (Page::Machine, "This machine", "Devices and versions for a bug report, and the keys (Ctrl+3)"),
];

/// Shows it. `device` is what pictures are drawn on.
pub fn header(ui: &mut Ui, page: Page, device: Option<&str>, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Foveate").strong().size(16.0));
        ui.add_space(12.0);
        for (target, name, help) in PAGES {
            if ui.selectable_label(page == target, name).on_hover_text(help).clicked() {
                actions.push(Action::Go(target));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            looks(ui);
            if let Some(device) = device.filter(|_| ui.available_width() > ROOM) {
                ui.add_space(8.0);
                quiet(ui, device).on_hover_text("What pictures are drawn on. The page Models has the others");
            }
        });
    });
}

/// Light or dark, and the size of everything.
fn looks(ui: &mut Ui) {
    let ctx = ui.ctx().clone();
    let dark = ui.visuals().dark_mode;
    let (shown, name) = if dark { ("☀", "Light theme") } else { ("🌙", "Dark theme") };
    if sign(ui, shown, name, "Light on dark, or dark on light (Ctrl+T)").clicked() {
        ctx.set_theme(if dark { ThemePreference::Light } else { ThemePreference::Dark });
    }
    for (shown, name, factor) in [("+", "Larger", 1.1), ("−", "Smaller", 1.0 / 1.1)] {
        let help = "The size of text and controls (Ctrl+Plus, Ctrl+Minus, Ctrl+0)";
        if sign(ui, shown, name, help).clicked() {
            ctx.set_zoom_factor((ctx.zoom_factor() * factor).clamp(0.6, 3.0));
        }
    }
}
