//! Where a picture lies in the middle of the window, and what is below it.

use egui::{Frame, Margin, Panel, Rect, Sense, Ui, Vec2};

use crate::theme::{GAP, Palette};

/// How long the longer side of a small picture is shown at most. Larger ones are shown pixel for pixel, or smaller.
const LARGEST: f32 = 640.0;

/// What is below the picture: as high as it needs to be.
pub fn foot(ui: &mut Ui, name: &str, contents: impl FnOnce(&mut Ui)) {
    let frame = Frame::new().inner_margin(Margin { top: 8, ..Margin::ZERO });
    Panel::bottom(name).frame(frame).show_separator_line(false).resizable(false).show(ui, contents);
}

/// The place for the picture: all that is left.
pub fn canvas(ui: &mut Ui) -> Rect {
    let (rect, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    ui.painter().rect_filled(rect, 8.0, Palette::of(ui).ground);
    rect.shrink(GAP)
}

/// As large as fits, in the middle; a small picture at least that large that its pixels are still seen as a picture.
pub fn fitted(place: Rect, size: Vec2) -> Rect {
    let most = (LARGEST / size.max_elem()).max(1.0);
    let scale = (place.width() / size.x).min(place.height() / size.y).min(most);
    Rect::from_center_size(place.center(), size * scale)
}
