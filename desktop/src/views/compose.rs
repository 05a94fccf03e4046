//! The form: what to draw, and how.

use egui::{ComboBox, DragValue, Id, Response, TextEdit, Ui};
use foveate::Size;

use super::action::Action;
use super::album::Album;
use super::begin::begin;
use super::controls::{button, main_button, named, number, optional, quiet, reset, row, sign, toggle};
use super::policy::policy;
use crate::engine::ModelFacts;
use crate::input::Input;
use crate::state::{Form, roll};

/// The id of the prompt, to put the cursor there.
pub const PROMPT: &str = "prompt";
/// The most steps that can be entered. A request that is recalled may have more, and keeps them: no field changes a
/// value by showing it.
const MOST_STEPS: usize = 1000;

/// Shows it. Without a model it shows what any model takes.
pub fn compose(
    ui: &mut Ui,
    form: &mut Form,
    model: Option<&ModelFacts>,
    input: (Option<&Input>, &mut Album),
    actions: &mut Vec<Action>,
) {
    what(ui, form, model);
    draw(ui, form, actions);
    ui.add_space(4.0);
    numbers(ui, form, model);
    ui.add_space(4.0);
    let first = ui.collapsing("Begin with a picture", |ui| begin(ui, form, input, actions));
    first.header_response.on_hover_text("Change a picture, or draw a part of it anew (Ctrl+B)");
    if let Some(model) = model {
        let help = "A policy may skip tokens in some layers and steps, to save time";
        let tokens = ui.collapsing("Which tokens are computed", |ui| policy(ui, &mut form.request.compression, model));
        tokens.header_response.on_hover_text(help);
        let more = ui.collapsing("More", |ui| scheduler(ui, form, model));
        more.header_response.on_hover_text("The scheduler");
    }
}

fn what(ui: &mut Ui, form: &mut Form, model: Option<&ModelFacts>) {
    match model.filter(|model| !model.draws_prompts()) {
        Some(model) => class(ui, form, model),
        None => {
            text(ui, "Prompt", "What to draw, in words", 4, PROMPT, &mut form.request.prompt);
            let mut negative = form.request.negative.clone().unwrap_or_default();
            let help = "What to steer away from. It counts only where the guidance is above 1";
            if text(ui, "Without", help, 1, "negative", &mut negative).changed() {
                form.request.negative = Some(negative);
            }
        }
    }
}

fn text(ui: &mut Ui, name: &str, help: &str, rows: usize, id: &str, text: &mut String) -> Response {
    let label = quiet(ui, name);
    let edit = TextEdit::multiline(text).id(Id::unique(id)).desired_rows(rows).desired_width(f32::INFINITY);
    ui.add(edit).labelled_by(label.id).on_hover_text(help)
}

fn class(ui: &mut Ui, form: &mut Form, model: &ModelFacts) {
    let class = form.request.class.get_or_insert_default();
    let help = "Which of its classes the model draws";
    row(ui, "Class", help, |ui| {
        let name = model.classes.get(class).map_or("", String::as_str);
        let combo = ComboBox::from_id_salt("class").selected_text(name).width(170.0).height(320.0);
        let combo = (!model.classes.is_empty()).then(|| {
            let shown = combo.show_ui(ui, |ui| {
                for (number, name) in &model.classes {
                    ui.selectable_value(class, *number, format!("{number} {name}"));
                }
            });
            shown.response.on_hover_text(help)
        });
        let number = ui.add(number(class, 0..=u32::MAX, 0.2));
        combo.map_or(number.clone(), |combo| combo.union(number))
    });
}

fn draw(ui: &mut Ui, form: &mut Form, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let width = ui.available_width() - 96.0;
        let button = main_button(ui, "Draw", width, "Put it into the queue (Ctrl+Enter)");
        if named(button, "Draw (Ctrl+Enter)").clicked() {
            actions.push(Action::Draw);
        }
        let count = number(&mut form.pictures, 1..=999, 0.05).suffix("×");
        let count = ui.add_sized([80.0, 34.0], count);
        named(count, "Pictures").on_hover_text("How many pictures, with seeds that follow each other");
    });
}

fn numbers(ui: &mut Ui, form: &mut Form, model: Option<&ModelFacts>) {
    let request = &mut form.request;
    let steps = model.map_or(20, |model| model.habits.steps);
    let help = "Denoising steps: more take longer, and are better up to a point";
    optional(ui, "Steps", help, &mut request.steps, steps, |value| number(value, 1..=MOST_STEPS, 0.2));
    let guidance = model.map_or(4.5, |model| model.habits.guidance);
    let help = "How closely the picture follows the prompt. 1 and below turn guidance off, which halves the time";
    optional(ui, "Guidance", help, &mut request.guidance, guidance, |value| {
        number(value, 0.0..=100.0, 0.05).fixed_decimals(1)
    });
    seed(ui, form);
    if let Some(model) = model {
        size(ui, form, model);
    }
}

fn seed(ui: &mut Ui, form: &mut Form) {
    let help = "Where the noise begins: the same seed and settings draw the same picture";
    let Form { request, keep_seed, .. } = form;
    row(ui, "Seed", help, |ui| {
        let name = "Keep the seed";
        toggle(
            ui,
            keep_seed,
            if *keep_seed { "🔒" } else { "🔓" },
            name,
            "Keep this seed; else each drawing takes a new one",
        );
        if sign(ui, "🎲", "New seed", "Take another seed now, and keep it").clicked() {
            (request.seed, *keep_seed) = (roll(), true);
        }
        let field = DragValue::new(&mut request.seed).speed(1.0);
        let field = ui.add(field);
        if field.changed() {
            *keep_seed = true;
        }
        field
    });
}

fn size(ui: &mut Ui, form: &mut Form, model: &ModelFacts) {
    let unit = model.unit.max(1);
    if form.request.size.is_none() && form.beginning.is_some() {
        let help = "As the picture to begin with has it, no larger than the model was trained at";
        row(ui, "Size", help, |ui| {
            let response = button(ui, "As the picture's", help);
            if response.clicked() {
                form.request.size = Some(model.size);
            }
            response
        });
        return;
    }
    let mut size = form.request.size.unwrap_or(model.size);
    let help = format!("Width and height in pixels, in steps of {unit}. The model was trained at {}", model.size);
    let before = size;
    row(ui, "Size", &help, |ui| {
        reset(ui, &mut form.request.size, "Size");
        let side = |ui: &mut Ui, side: &mut usize, name: &str| {
            let field = ui.add(number(side, unit..=4096, unit as f64 / 8.0));
            if field.changed() {
                *side = (*side / unit).max(1) * unit;
            }
            named(field, name)
        };
        let height = side(ui, &mut size.height, "Height");
        ui.label("×");
        side(ui, &mut size.width, "Width").union(height)
    });
    if size != before {
        form.request.size = Some(size).filter(|size: &Size| *size != model.size || form.beginning.is_some());
    }
}

fn scheduler(ui: &mut Ui, form: &mut Form, model: &ModelFacts) {
    let chosen = &mut form.request.scheduler;
    let help = "The rule by which each step removes noise. The model's own is a good choice";
    row(ui, "Scheduler", help, |ui| {
        let own = format!("{} (its own)", model.scheduler);
        let shown = chosen.clone().unwrap_or_else(|| own.clone());
        let combo = ComboBox::from_id_salt("scheduler").selected_text(shown).width(180.0).truncate();
        let shown = combo.show_ui(ui, |ui| {
            ui.selectable_value(chosen, None, own);
            for name in &model.schedulers {
                ui.selectable_value(chosen, Some(name.clone()), name);
            }
        });
        shown.response
    });
}

#[cfg(test)]
mod tests {
    use egui_kittest::Harness;

    use super::*;

    #[test]
    fn a_recalled_request_stays_as_it_is() {
        let mut form = Form::default();
        (form.request.steps, form.request.guidance) = (Some(2 * MOST_STEPS), Some(-1.0));
        let before = form.clone();
        let show = |ui: &mut Ui, form: &mut Form| {
            compose(ui, form, None, (None, &mut Album::default()), &mut Vec::new());
        };
        let mut harness = Harness::new_ui_state(show, form);
        harness.step();
        assert_eq!(*harness.state(), before);
    }
}
