//! Two pictures in one place, with a divider to drag between them.

use std::path::PathBuf;

use egui::{Color32, CursorIcon, Key, Pos2, Rect, Sense, Stroke, TextureHandle, Ui, WidgetInfo, pos2};

/// Two pictures to compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Shown left of the divider.
    pub left: PathBuf,
    /// Shown right of it.
    pub right: PathBuf,
    /// The divider's place, from 0 to 1.
    pub divider: f32,
}

impl Pair {
    /// Two pictures, half of each to see.
    pub fn new(left: PathBuf, right: PathBuf) -> Self {
        Self { left, right, divider: 0.5 }
    }
}

/// Shows two pictures at `rect`. The divider follows the pointer, and the arrow keys where it has the focus.
pub(super) fn divided(ui: &mut Ui, rect: Rect, left: &TextureHandle, right: &TextureHandle, divider: &mut f32) {
    let response = ui.interact(rect, ui.scope_id().with("divider"), Sense::click_and_drag());
    if let Some(at) = response.interact_pointer_pos() {
        *divider = ((at.x - rect.left()) / rect.width()).clamp(0.0, 1.0);
    }
    if response.has_focus() {
        let (left, right) = ui.input(|input| (input.key_pressed(Key::ArrowLeft), input.key_pressed(Key::ArrowRight)));
        *divider = (*divider + 0.02 * (f32::from(u8::from(right)) - f32::from(u8::from(left)))).clamp(0.0, 1.0);
    }
    let value = f64::from(*divider);
    response.widget_info(|| WidgetInfo::slider(true, value, "Divider between the two pictures"));
    let response = response.on_hover_cursor(CursorIcon::ResizeHorizontal);
    let x = rect.left() + *divider * rect.width();
    part(ui, left, rect, 0.0, *divider);
    part(ui, right, rect, *divider, 1.0);
    let line = |width, colour| {
        ui.painter().vline(x, rect.y_range(), Stroke::new(width, colour));
    };
    line(4.0, Color32::from_black_alpha(120));
    line(2.0, Color32::WHITE);
    let knob = pos2(x, rect.center().y);
    ui.painter().circle(knob, 9.0, Color32::WHITE, Stroke::new(1.0, Color32::from_black_alpha(160)));
    if response.has_focus() {
        ui.painter().circle_stroke(knob, 12.0, Stroke::new(2.0, ui.visuals().selection.stroke.color));
    }
}

/// The part of a picture between two places of its width.
fn part(ui: &Ui, texture: &TextureHandle, rect: Rect, from: f32, to: f32) {
    let x = |place: f32| rect.left() + place * rect.width();
    let shown = Rect::from_min_max(Pos2::new(x(from), rect.top()), Pos2::new(x(to), rect.bottom()));
    let uv = Rect::from_min_max(pos2(from, 0.0), pos2(to, 1.0));
    ui.painter().image(texture.id(), shown, uv, Color32::WHITE);
}
