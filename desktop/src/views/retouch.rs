//! The mask of a picture to begin with, painted on it by pointer, touch or keys.

use egui::{
    Button, Color32, Event, EventFilter, Key, Modifiers, PointerButton, Pos2, Rect, Response, Role, Sense, Shape,
    Stroke, StrokeKind, TouchPhase, Ui, WidgetInfo, pos2, vec2,
};

use super::action::Action;
use super::album::Album;
use super::canvas::{canvas, fitted, foot};
use super::controls::{button, named, number, quiet};
use crate::input::{Input, Painting, Place};

/// The smallest and the largest brush, in shares of the picture's longer side.
const BRUSHES: std::ops::RangeInclusive<f32> = 0.002..=0.5;
/// How far an arrow key moves the brush, in shares of its radius; and with Shift.
const STRIDES: [f32; 2] = [1.0, 0.1];

/// What is painted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tool {
    #[default]
    Brush,
    Eraser,
    Rectangle,
}

/// The brush, as it is between two frames.
#[derive(Clone, Debug)]
pub struct Brush {
    tool: Tool,
    /// In shares of the picture's longer side.
    radius: f32,
    /// Where the keys have it, in shares of the picture's sides.
    cursor: [f32; 2],
    /// Where the pointer was pressed and where it is, while it is.
    pressed: Option<[Place; 2]>,
    /// The first corner of a rectangle that the keys draw.
    corner: Option<Place>,
}

impl Default for Brush {
    fn default() -> Self {
        Self { tool: Tool::Brush, radius: 0.05, cursor: [0.5, 0.5], pressed: None, corner: None }
    }
}

/// A picture, and where it is on the screen.
#[derive(Clone, Copy)]
struct Sheet {
    rect: Rect,
    /// In pixels of the picture.
    size: [f32; 2],
}

impl Sheet {
    /// Pixels of the picture in a point of the screen.
    fn scale(self) -> f32 {
        self.size[0] / self.rect.width().max(1.0)
    }

    fn place(self, at: Pos2) -> Place {
        let at = (at - self.rect.min) * self.scale();
        [at.x, at.y]
    }

    fn point(self, [x, y]: Place) -> Pos2 {
        self.rect.min + vec2(x, y) / self.scale()
    }

    fn radius(self, brush: &Brush) -> f32 {
        brush.radius * self.size[0].max(self.size[1])
    }

    fn cursor(self, brush: &Brush) -> Place {
        [0, 1].map(|axis| brush.cursor[axis] * self.size[axis])
    }
}

/// Shows picture and mask, and paints.
pub(super) fn retouch(ui: &mut Ui, brush: &mut Brush, input: &mut Input, album: &mut Album, actions: &mut Vec<Action>) {
    foot(ui, "mask", |ui| tools(ui, brush, &mut input.painting, actions));
    let place = canvas(ui);
    let (width, height) = input.size;
    let size = [width as f32, height as f32];
    let sheet = Sheet { rect: fitted(place, size.into()), size };
    let response = ui.interact(sheet.rect, ui.scope_id().with("retouch"), Sense::click_and_drag());
    pointer(ui, &response, brush, &mut input.painting, sheet);
    if response.has_focus() {
        let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
        keys(ui, brush, &mut input.painting, sheet);
    }
    let all = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let textures = [album.input(ui.ctx(), input), album.overlay(ui.ctx(), input)];
    for texture in textures {
        ui.painter().image(texture.id(), sheet.rect, all, Color32::WHITE);
    }
    outlines(ui, &response, brush, sheet);
    let said = format!("Mask: {:.1} % is marked", input.painting.share() * 100.0);
    response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, said.as_str()));
}

/// A button that changes the mask: its name, what it does, and whether it can now.
type Change = (&'static str, &'static str, bool, fn(&mut Painting));

fn tools(ui: &mut Ui, brush: &mut Brush, painting: &mut Painting, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        for (tool, name, help) in [
            (Tool::Brush, "Brush", "Mark what is drawn anew"),
            (Tool::Eraser, "Eraser", "Clear what was marked"),
            (Tool::Rectangle, "Rectangle", "Mark a rectangle, from corner to corner"),
        ] {
            if ui.selectable_label(brush.tool == tool, name).on_hover_text(help).clicked() {
                (brush.tool, brush.corner) = (tool, None);
            }
        }
        let mut percent = 100.0 * brush.radius;
        let size = number(&mut percent, 100.0 * BRUSHES.start()..=100.0 * BRUSHES.end(), 0.1).suffix(" %");
        let size = ui.add(size.max_decimals(1)).on_hover_text("The size of brush and eraser, of the picture ([ and ])");
        if named(size, "Brush size").changed() {
            brush.radius = percent / 100.0;
        }
    });
    ui.horizontal_wrapped(|ui| {
        let changes: [Change; 4] = [
            ("Undo", "Take the last change back (Ctrl+Z)", painting.can_undo(), Painting::undo),
            ("Redo", "Make it again (Ctrl+Y)", painting.can_redo(), Painting::redo),
            ("Clear", "Mark nothing", !painting.is_empty(), Painting::clear),
            ("Invert", "Mark what is not marked, and the other way round", true, Painting::invert),
        ];
        for (name, help, can, change) in changes {
            if ui.add_enabled(can, Button::new(name)).on_hover_text(help).clicked() {
                change(painting);
            }
        }
        if button(ui, "Done", "Back; the mask is kept (Esc)").clicked() {
            actions.push(Action::Follow);
        }
    });
    let help = "Paint with the pointer. By keys: Tab to the picture, arrows move the brush (with Shift a little), Space \
                paints.";
    quiet(ui, help);
}

/// Paints along the pointer's way, event by event: where frames take long, a whole stroke may lie within one. A press
/// that began on the picture lasts until the button or the finger is lifted: egui gives up a finger that rests, which to
/// it means a menu.
fn pointer(ui: &Ui, response: &Response, brush: &mut Brush, painting: &mut Painting, sheet: Sheet) {
    // Not through a menu or a hint that lies over it.
    let uncovered = |at| sheet.rect.contains(at) && ui.ctx().layer_id_at(at) == Some(response.layer_id);
    let (events, down) = ui.input(|input| (input.events.clone(), input.pointer.primary_down()));
    for event in events {
        match event {
            Event::PointerButton { pos, button: PointerButton::Primary, pressed: true, .. } if uncovered(pos) => {
                lift(brush, painting);
                painting.begin();
                response.request_focus();
                brush.pressed = Some([sheet.place(pos); 2]);
                follow(pos, brush, painting, sheet);
            }
            Event::PointerMoved(pos) => follow(pos, brush, painting, sheet),
            Event::PointerButton { pos, button: PointerButton::Primary, pressed: false, .. } => {
                follow(pos, brush, painting, sheet);
                lift(brush, painting);
            }
            // The system takes the finger away, and to egui it stays pressed.
            Event::Touch { phase: TouchPhase::Cancel, .. } => lift(brush, painting),
            _ => {}
        }
    }
    // It was lifted where this window does not hear of it.
    if !down {
        lift(brush, painting);
    }
}

/// The pointer is here now. Where it is pressed, it paints.
fn follow(at: Pos2, brush: &mut Brush, painting: &mut Painting, sheet: Sheet) {
    let Some([first, before]) = brush.pressed else { return };
    let at = sheet.place(at);
    if brush.tool != Tool::Rectangle {
        painting.stroke(before, at, sheet.radius(brush), brush.tool == Tool::Brush);
    }
    brush.pressed = Some([first, at]);
    brush.cursor = [0, 1].map(|axis| (at[axis] / sheet.size[axis].max(1.0)).clamp(0.0, 1.0));
}

fn lift(brush: &mut Brush, painting: &mut Painting) {
    if let Some([first, last]) = brush.pressed.take()
        && brush.tool == Tool::Rectangle
    {
        painting.rectangle(first, last, true);
    }
}

/// The same by keys, while the picture has the focus.
fn keys(ui: &Ui, brush: &mut Brush, painting: &mut Painting, sheet: Sheet) {
    let (before, radius) = (sheet.cursor(brush), sheet.radius(brush));
    let (moved, space, held, sizes) = ui.input_mut(|input| {
        let stride = STRIDES[usize::from(input.modifiers.shift)] * radius;
        // With Shift, too.
        let mut presses = |key| input.count_and_consume_key(Modifiers::NONE, key) as f32;
        let moved =
            [presses(Key::ArrowRight) - presses(Key::ArrowLeft), presses(Key::ArrowDown) - presses(Key::ArrowUp)];
        let sizes = presses(Key::CloseBracket) - presses(Key::OpenBracket);
        let space = input.key_pressed(Key::Space);
        (moved.map(|presses| presses * stride), space, input.key_down(Key::Space), sizes)
    });
    brush.radius = (brush.radius * 1.2f32.powf(sizes)).clamp(*BRUSHES.start(), *BRUSHES.end());
    brush.cursor = [0, 1].map(|axis| ((before[axis] + moved[axis]) / sheet.size[axis].max(1.0)).clamp(0.0, 1.0));
    let after = sheet.cursor(brush);
    if space {
        match (brush.tool, brush.corner) {
            (Tool::Rectangle, None) => brush.corner = Some(after),
            (Tool::Rectangle, Some(corner)) => {
                painting.begin();
                painting.rectangle(corner, after, true);
                brush.corner = None;
            }
            _ => painting.begin(),
        }
    }
    if (space || held && after != before) && brush.tool != Tool::Rectangle {
        painting.stroke(if space { after } else { before }, after, radius, brush.tool == Tool::Brush);
    }
}

/// The brush, or the rectangle that is being drawn: a dark line around a light one, to be seen on any picture.
fn outlines(ui: &Ui, response: &Response, brush: &Brush, sheet: Sheet) {
    let line = |shape: &dyn Fn(Stroke) -> Shape| {
        ui.painter().add(shape(Stroke::new(3.0, Color32::from_black_alpha(160))));
        ui.painter().add(shape(Stroke::new(1.0, Color32::WHITE)));
    };
    let hovered = response.hover_pos().map(|at| sheet.place(at));
    let Some(at) = hovered.or(response.has_focus().then(|| sheet.cursor(brush))) else { return };
    let corner = brush.pressed.map(|[first, _]| first).or(brush.corner);
    match (brush.tool, corner) {
        (Tool::Rectangle, Some(corner)) => {
            let rect = Rect::from_two_pos(sheet.point(corner), sheet.point(at));
            line(&|stroke| Shape::rect_stroke(rect, 0.0, stroke, StrokeKind::Middle));
        }
        (Tool::Rectangle, None) => line(&|stroke| Shape::circle_stroke(sheet.point(at), 4.0, stroke)),
        _ => {
            let radius = sheet.radius(brush) / sheet.scale();
            line(&|stroke| Shape::circle_stroke(sheet.point(at), radius, stroke));
        }
    }
}
