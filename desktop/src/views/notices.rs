//! Errors, warnings and words below the header, each of which can be closed.

use egui::{Frame, Margin, Ui};

use super::action::Action;
use super::controls::{sentence, sign};
use crate::state::{Kind, Notices};
use crate::theme::Palette;

/// Shows them.
pub fn notices(ui: &mut Ui, notices: &Notices, actions: &mut Vec<Action>) {
    let palette = Palette::of(ui);
    for (at, notice) in notices.iter().enumerate() {
        let (mark, colour) = match notice.kind {
            Kind::Error | Kind::Unkept | Kind::Unsaved => ("⚠", palette.bad),
            Kind::Warning => ("⚠", palette.warm),
            Kind::Word => ("✔", palette.accent),
        };
        let frame = Frame::new().inner_margin(Margin::symmetric(12, 2)).fill(palette.raised);
        frame.show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.colored_label(colour, mark);
                let right = egui::Layout::right_to_left(egui::Align::Center);
                ui.with_layout(right, |ui| {
                    if sign(ui, "✖", "Close the message", "Close this message").clicked() {
                        actions.push(Action::Close(at));
                    }
                    ui.with_layout(egui::Layout::left_to_right(egui::Align::Center).with_main_wrap(true), |ui| {
                        ui.add(egui::Label::new(sentence(&notice.text)).wrap());
                    });
                });
            });
        });
    }
}
