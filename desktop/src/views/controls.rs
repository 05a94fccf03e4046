//! The small controls that views are made of. Each has a name for screen readers and says on hover what it does.

use std::ops::RangeInclusive;

use egui::emath::Numeric;
use egui::{Align, Button, DragValue, Layout, Response, RichText, Role, Ui, WidgetInfo, vec2};
use foveate::Request;

use crate::theme::Palette;

/// A row of a form: its name to the left, its control to the right.
pub fn row(ui: &mut Ui, name: &str, help: &str, control: impl FnOnce(&mut Ui) -> Response) -> Response {
    ui.horizontal(|ui| {
        let label = ui.label(name).on_hover_text(help);
        let right = Layout::right_to_left(Align::Center);
        ui.with_layout(right, |ui| control(ui).labelled_by(label.id).on_hover_text(help)).inner
    })
    .inner
}

/// A button of one sign.
pub fn sign(ui: &mut Ui, sign: &str, name: &str, help: &str) -> Response {
    let button = Button::new(sign).frame_when_inactive(false).min_size(vec2(28.0, 28.0));
    named(ui.add(button), name).on_hover_text(help)
}

/// A button of one sign that stays pressed.
pub fn toggle(ui: &mut Ui, on: &mut bool, label: &str, name: &str, help: &str) -> Response {
    let response = ui.add(Button::selectable(*on, label).min_size(vec2(28.0, 28.0)));
    if response.clicked() {
        *on = !*on;
    }
    let enabled = response.enabled();
    let state = *on;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, enabled, state, name));
    response.on_hover_text(help)
}

/// A field for a number. What is entered is held in the range; what was there before stays as it is until then.
pub fn number<N: Numeric>(value: &mut N, range: RangeInclusive<N>, speed: f64) -> DragValue<'_> {
    DragValue::new(value).range(range).speed(speed).clamp_existing_to_range(false)
}

/// A number that has a default: shown as the default until it is set, with a button to go back.
pub fn optional<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    help: &str,
    value: &mut Option<T>,
    default: T,
    field: impl FnOnce(&mut T) -> DragValue<'_>,
) {
    row(ui, name, help, |ui| {
        reset(ui, value, name);
        let mut number = value.unwrap_or(default);
        let before = number;
        let response = ui.add(field(&mut number));
        if number != before {
            *value = Some(number);
        }
        response
    });
}

/// The way back to a default, where something else is set.
pub fn reset<T>(ui: &mut Ui, value: &mut Option<T>, name: &str) {
    if value.is_some() && sign(ui, "↺", &format!("Reset: {name}"), "Back to the model's own value").clicked() {
        *value = None;
    }
}

/// A button with words.
pub fn button(ui: &mut Ui, text: &str, help: &str) -> Response {
    ui.button(text).on_hover_text(help)
}

/// The button of a page that matters most.
pub fn main_button(ui: &mut Ui, text: &str, width: f32, help: &str) -> Response {
    let palette = Palette::of(ui);
    let text = RichText::new(text).color(palette.on_accent).strong();
    ui.add(Button::new(text).fill(palette.accent).min_size(vec2(width, 34.0))).on_hover_text(help)
}

/// Text that matters less.
pub fn quiet(ui: &mut Ui, text: impl Into<String>) -> Response {
    let colour = Palette::of(ui).quiet;
    ui.label(RichText::new(text).color(colour).small())
}

/// Gives a control another name than its text, for screen readers.
pub fn named(response: Response, name: &str) -> Response {
    let enabled = response.enabled();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
    response
}

/// A text as a sentence begins. Errors and the registry's words begin small, since others may come before them.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What a request draws, in a few words.
pub fn title(request: &Request) -> String {
    match (request.class, request.prompt.trim()) {
        (Some(class), _) => format!("Class {class}"),
        (None, "") => "No prompt".into(),
        (None, prompt) => prompt.into(),
    }
}

/// Seconds as people say them.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A number of floating-point operations.
pub fn flops(flops: u64) -> String {
    let giga = flops as f64 / 1e9;
    if giga < 1000.0 { format!("{giga:.3} GFLOP").replace(".000", "") } else { format!("{:.1} TFLOP", giga / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_title() {
        let titles =
            [Request::class(7), Request::prompt(" a fox\n"), Request::prompt("")].map(|request| title(&request));
        assert_eq!(titles, ["Class 7", "a fox", "No prompt"]);
    }

    #[test]
    fn sentences_begin_large() {
        assert_eq!(["no room", "Über", "ß", ""].map(sentence), ["No room", "Über", "SS", ""]);
    }

    #[test]
    fn quantities_are_read_out() {
        assert_eq!([0.02, 2.34, 45.6, 300.0, 9000.0].map(seconds), ["20 ms", "2.3 s", "46 s", "5 min", "2.5 h"]);
        assert_eq!([1_350_000_000, 27_000_000_000_000].map(flops), ["1.350 GFLOP", "27.0 TFLOP"]);
    }
}
