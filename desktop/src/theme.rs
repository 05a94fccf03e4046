//! How the app looks: the palette of the project's page, dark and light, and one rhythm of distances.

use egui::{Color32, Context, CornerRadius, FontId, Margin, Stroke, Style, TextStyle, Theme, Visuals, vec2};

/// The distance between things that belong together; twice as much between things that do not.
pub const GAP: f32 = 8.0;
/// The corners of buttons and fields.
const RADIUS: CornerRadius = CornerRadius::same(6);

/// How much of the accent is behind what is chosen: as much as leaves text of the accent legible.
const CHOSEN: f32 = 0.22;

/// The colours of a theme.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// Behind pictures.
    pub ground: Color32,
    /// Behind controls.
    pub panel: Color32,
    /// Buttons.
    pub raised: Color32,
    /// Edges.
    pub line: Color32,
    /// Text.
    pub ink: Color32,
    /// Text that matters less.
    pub quiet: Color32,
    /// What to press, and what is chosen.
    pub accent: Color32,
    /// Text on it.
    pub on_accent: Color32,
    /// Warnings.
    pub warm: Color32,
    /// Errors.
    pub bad: Color32,
}

const DARK: Palette = Palette {
    ground: Color32::from_rgb(0x0d, 0x0f, 0x15),
    panel: Color32::from_rgb(0x16, 0x19, 0x22),
    raised: Color32::from_rgb(0x26, 0x2c, 0x3a),
    line: Color32::from_rgb(0x2d, 0x33, 0x42),
    ink: Color32::from_rgb(0xec, 0xef, 0xf6),
    quiet: Color32::from_rgb(0xa3, 0xab, 0xbd),
    accent: Color32::from_rgb(0x97, 0xa3, 0xff),
    on_accent: Color32::from_rgb(0x0d, 0x0f, 0x15),
    warm: Color32::from_rgb(0xff, 0xd4, 0x79),
    bad: Color32::from_rgb(0xff, 0x9d, 0x96),
};

const LIGHT: Palette = Palette {
    ground: Color32::from_rgb(0xe9, 0xeb, 0xf1),
    panel: Color32::from_rgb(0xfb, 0xfb, 0xfd),
    raised: Color32::from_rgb(0xe8, 0xeb, 0xf3),
    line: Color32::from_rgb(0xd3, 0xd8, 0xe3),
    ink: Color32::from_rgb(0x17, 0x1a, 0x23),
    quiet: Color32::from_rgb(0x56, 0x5e, 0x70),
    accent: Color32::from_rgb(0x3d, 0x4b, 0xd0),
    on_accent: Color32::WHITE,
    warm: Color32::from_rgb(0x8a, 0x5a, 0x00),
    bad: Color32::from_rgb(0xb3, 0x26, 0x1e),
};

impl Palette {
    /// The palette of what `ui` is shown in.
    pub fn of(ui: &egui::Ui) -> Self {
        if ui.visuals().dark_mode { DARK } else { LIGHT }
    }
}

/// Gives the window its looks, in either theme.
pub fn dress(ctx: &Context) {
    ctx.style_mut_of(Theme::Dark, |style| dress_style(style, Visuals::dark(), DARK));
    ctx.style_mut_of(Theme::Light, |style| dress_style(style, Visuals::light(), LIGHT));
}

fn dress_style(style: &mut Style, visuals: Visuals, palette: Palette) {
    style.text_styles = [
        (TextStyle::Small, FontId::proportional(12.0)),
        (TextStyle::Body, FontId::proportional(14.0)),
        (TextStyle::Button, FontId::proportional(14.0)),
        (TextStyle::Heading, FontId::proportional(18.0)),
        (TextStyle::Monospace, FontId::monospace(13.0)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(GAP, GAP);
    spacing.button_padding = vec2(10.0, 5.0);
    spacing.interact_size = vec2(40.0, 28.0);
    spacing.menu_margin = Margin::same(8);
    spacing.combo_width = 120.0;
    spacing.slider_width = 150.0;
    spacing.tooltip_width = 360.0;
    spacing.scroll.floating = true;
    // Beside what is scrolled, not over its right edge.
    spacing.scroll.floating_allocated_width = 6.0;
    style.visuals = paint(visuals, palette);
}

fn paint(mut visuals: Visuals, palette: Palette) -> Visuals {
    let Palette { ground, panel, raised, line, ink, quiet, accent, warm, bad, .. } = palette;
    visuals.panel_fill = panel;
    visuals.window_fill = panel;
    visuals.extreme_bg_color = ground;
    visuals.text_edit_bg_color = Some(ground);
    visuals.faint_bg_color = raised.gamma_multiply(0.5);
    visuals.window_stroke = Stroke::new(1.0, line);
    visuals.weak_text_color = Some(quiet);
    visuals.hyperlink_color = accent;
    visuals.warn_fg_color = warm;
    visuals.error_fg_color = bad;
    visuals.selection.bg_fill = accent.gamma_multiply(CHOSEN);
    visuals.selection.stroke = Stroke::new(1.5, accent);
    visuals.slider_trailing_fill = true;
    visuals.window_corner_radius = CornerRadius::same(10);
    visuals.menu_corner_radius = CornerRadius::same(8);
    let widgets = &mut visuals.widgets;
    for widget in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        widget.corner_radius = RADIUS;
        widget.fg_stroke = Stroke::new(1.0, ink);
        widget.expansion = 0.0;
    }
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, line);
    widgets.inactive.bg_fill = raised;
    widgets.inactive.weak_bg_fill = raised;
    widgets.inactive.bg_stroke = Stroke::new(1.0, line);
    for widget in [&mut widgets.hovered, &mut widgets.active, &mut widgets.open] {
        widget.bg_fill = raised;
        widget.weak_bg_fill = raised;
        widget.bg_stroke = Stroke::new(1.0, accent);
    }
    widgets.active.bg_stroke = Stroke::new(2.0, accent);
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ratio of WCAG 2, which asks for 4.5 where text is small.
    fn contrast(text: Color32, ground: Color32) -> f32 {
        let light = |colour: Color32| {
            let [r, g, b] = [colour.r(), colour.g(), colour.b()].map(egui::ecolor::linear_f32_from_gamma_u8);
            0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
        };
        let (text, ground) = (light(text), light(ground));
        text.max(ground) / text.min(ground)
    }

    #[test]
    fn text_is_legible_in_both_themes() {
        for (name, palette) in [("dark", DARK), ("light", LIGHT)] {
            let Palette { ground, panel, raised, ink, quiet, accent, on_accent, warm, bad, .. } = palette;
            let chosen = panel.blend(accent.gamma_multiply(CHOSEN));
            for (what, text, behind) in [
                ("text", ink, panel),
                ("text on a button", ink, raised),
                ("text in a field", ink, ground),
                ("quiet text", quiet, panel),
                ("quiet text in a field", quiet, ground),
                ("the main button", on_accent, accent),
                ("what is chosen", accent, chosen),
                ("the accent", accent, panel),
                ("a warning", warm, panel),
                ("an error", bad, panel),
            ] {
                let found = contrast(text, behind);
                assert!(found >= 4.5, "{what}, {name}: {found}");
            }
        }
    }
}
