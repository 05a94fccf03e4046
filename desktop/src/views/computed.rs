//! What a policy computed: each token's share of layers over the picture, and the layers by steps.

use egui::{Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use foveate::Grid;
use foveate_studio::viridis;
use image::Rgb;

use super::controls::quiet;
use crate::state::Live;
use crate::theme::Palette;

/// How much of the picture shows through.
const OPACITY: f32 = 0.6;
/// The height of the matrix: a share of the window's, within these bounds.
const HEIGHT: f32 = 0.1;
const HEIGHTS: [f32; 2] = [48.0, 96.0];
/// The most width of a step in it.
const STEP: f32 = 14.0;

/// Lays the token map over the picture at `rect`.
pub(super) fn over(ui: &Ui, rect: Rect, live: &Live) {
    let (Some(Grid { rows, columns }), tokens) = (live.grid, live.computed.tokens()) else { return };
    if tokens.len() != rows * columns {
        return;
    }
    let cell = vec2(rect.width() / columns as f32, rect.height() / rows as f32);
    for (at, share) in tokens.into_iter().enumerate() {
        let corner = rect.min + vec2((at % columns) as f32 * cell.x, (at / columns) as f32 * cell.y);
        ui.painter().rect_filled(Rect::from_min_size(corner, cell), 0.0, colour(share).gamma_multiply(OPACITY));
    }
}

/// Shows the layers by steps, and what they come to.
pub(super) fn matrix(ui: &mut Ui, live: &Live) {
    let steps = &live.computed.layers;
    let Some(layers) = steps.first().map(Vec::len).filter(|&layers| layers > 0) else {
        if live.done == 0 {
            quiet(ui, "The map comes with the first step.");
            return;
        }
        quiet(ui, "This policy computes every token, or the picture was not drawn with the map on.");
        return;
    };
    let share = live.computed.share().unwrap_or(1.0);
    let step = (ui.available_width() / live.steps.max(1) as f32).min(STEP);
    let height = (HEIGHT * ui.ctx().content_rect().height()).clamp(HEIGHTS[0], HEIGHTS[1]);
    let size = vec2(step * live.steps as f32, height);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 2.0, Palette::of(ui).raised);
    let cell = vec2(step, size.y / layers as f32);
    for (x, step) in steps.iter().enumerate() {
        for (y, &share) in step.iter().enumerate() {
            let corner = rect.min + vec2(x as f32 * cell.x, y as f32 * cell.y);
            ui.painter().rect_filled(Rect::from_min_size(corner, cell), 0.0, colour(share));
        }
    }
    let said = format!("{:.0} % of the tokens were computed", share * 100.0);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Layers by steps: {said}")));
    let under = response.hover_pos().map(|at| {
        let place = (at - rect.min) / cell;
        (place.x as usize, place.y as usize)
    });
    let cell = under.and_then(|(x, y)| Some((x, y, *steps.get(x)?.get(y)?)));
    if let Some((x, y, share)) = cell {
        response.on_hover_text(format!("Step {}, layer {}: {:.0} % of the tokens", x + 1, y + 1, share * 100.0));
    }
    ui.horizontal_wrapped(|ui| {
        legend(ui);
        quiet(ui, format!("Layers from top to bottom, steps from left to right. {said}."));
    });
}

/// The colours, from nothing to all.
fn legend(ui: &mut Ui) {
    quiet(ui, "0");
    let (rect, _) = ui.allocate_exact_size(vec2(60.0, 10.0), Sense::hover());
    for at in 0..30 {
        let left = rect.min.x + 2.0 * at as f32;
        let part = Rect::from_min_max(pos2(left, rect.min.y), pos2(left + 2.0, rect.max.y));
        ui.painter().rect_filled(part, 0.0, colour(at as f32 / 29.0));
    }
    quiet(ui, "100 %");
}

fn colour(share: f32) -> Color32 {
    let Rgb([r, g, b]) = viridis(share);
    Color32::from_rgb(r, g, b)
}
