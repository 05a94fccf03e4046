//! The page about this machine: what a bug report needs, and the keys.

use egui::{Grid, ScrollArea, Spinner, TextEdit, Ui};

use foveate_studio::doctor::Report;

use super::controls::{button, quiet};

/// Shows the page. `report` is there once the machine was looked at; `keys` are pairs of a key and what it does.
pub fn machine(ui: &mut Ui, report: Option<&Report>, keys: &[(&str, &str)]) {
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.set_max_width(760.0);
        ui.heading("This machine");
        quiet(ui, "What a bug report needs to say. `foveate doctor` prints the same.");
        match report {
            None => drop(ui.add(Spinner::new())),
            Some(report) => {
                let text = report.text();
                let mut text = text.as_str();
                if button(ui, "Copy the text", "Copy it to the clipboard, for a bug report").clicked() {
                    ui.ctx().copy_text(text.to_owned());
                }
                let label = quiet(ui, "Report");
                let field = TextEdit::multiline(&mut text).code_editor().desired_width(f32::INFINITY);
                ui.add(field).labelled_by(label.id);
            }
        }
        ui.add_space(16.0);
        ui.heading("Keys");
        Grid::new("keys").num_columns(2).spacing([24.0, 6.0]).show(ui, |ui| {
            for (key, what) in keys {
                ui.monospace(*key);
                ui.label(*what);
                ui.end_row();
            }
        });
    });
}
