//! The page of models: which one draws, how its weights are stored, and on which device.

use egui::{Button, Grid, Id, ScrollArea, TextEdit, Ui};

use foveate_studio::device::CPU;
use foveate_studio::doctor::Report;
use foveate_studio::memory::{Chosen, Needs, size as bytes};

use super::action::Action;
use super::controls::{button, main_button, quiet, sentence};
use crate::disk::Question;
use crate::engine::{Choice, ModelFacts, Storage, Trouble};
use crate::state::Settings;

/// The model in use, as far as it is.
#[derive(Clone, Debug)]
pub enum Model {
    /// Its files are being looked at.
    Opening,
    /// Its weights are on their way.
    Loading { component: String, done: u64, total: u64 },
    /// It can draw.
    Open(Box<ModelFacts>),
    /// It cannot be opened.
    Failed(Trouble),
}

impl Model {
    /// What is known of it, once it is open.
    pub fn facts(&self) -> Option<&ModelFacts> {
        if let Self::Open(facts) = self { Some(facts) } else { None }
    }
}

/// Shows the page. `named` is the field for a folder or an address.
pub fn models(
    ui: &mut Ui,
    (model, machine): (&Model, Option<&Report>),
    settings: &Settings,
    named: &mut String,
    actions: &mut Vec<Action>,
) {
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.set_max_width(ui.available_width().min(760.0));
        ui.heading("The model in use");
        in_use(ui, model, settings, actions);
        ui.add_space(8.0);
        devices(ui, machine, &settings.choice, actions);
        ui.add_space(16.0);
        ui.heading("Open another");
        other(ui, settings, named, actions);
    });
}

fn in_use(ui: &mut Ui, model: &Model, settings: &Settings, actions: &mut Vec<Action>) {
    match model {
        Model::Opening => drop(ui.label("It is being opened.")),
        Model::Loading { component, done, total } => {
            let at = format!("Loading the {}: {} of {}", component.replace('_', " "), bytes(*done), bytes(*total));
            ui.label(at);
        }
        Model::Failed(trouble) => {
            ui.colored_label(ui.visuals().error_fg_color, sentence(&trouble.line()));
            if button(ui, "Try again", "Open the same model once more").clicked() {
                actions.push(Action::Open(settings.choice.clone()));
            }
        }
        Model::Open(facts) => open(ui, facts, actions),
    }
}

fn open(ui: &mut Ui, facts: &ModelFacts, actions: &mut Vec<Action>) {
    Grid::new("facts").num_columns(2).spacing([16.0, 6.0]).show(ui, |ui| {
        let policies: Vec<&str> = facts.policies.iter().map(|policy| policy.name.as_str()).collect();
        for (name, value) in [
            ("Name", facts.name.clone()),
            ("Kind", facts.pipeline.clone()),
            ("Trained at", facts.size.to_string()),
            ("Policies", policies.join(", ")),
            ("Weights in memory", bytes(facts.bytes)),
            ("Memory", memory(facts)),
            ("Drawn on", facts.device.clone()),
        ] {
            ui.weak(name);
            ui.add(egui::Label::new(value).wrap());
            ui.end_row();
        }
    });
    ui.add_space(8.0);
    ui.label("How its matrices are stored").on_hover_text("Fewer bits take less memory and lose some exactness");
    ui.horizontal_wrapped(|ui| {
        let fitting = match facts.room.fitting() {
            Some(_) => "What fits",
            None => "What fits (not known here)",
        };
        let Needs { stored, by_dtype, .. } = &facts.room.needs;
        let own =
            [(Storage::Fitting, fitting.into()), (Storage::AsInFiles, format!("As in the files: {}", bytes(*stored)))];
        let each = by_dtype.iter().map(|(dtype, size)| (Storage::As(*dtype), format!("{dtype}: {}", bytes(*size))));
        for (dtype, text) in own.into_iter().chain(each) {
            let help = "Loads the model again, stored like this";
            if ui.selectable_label(facts.choice.dtype == dtype, text).on_hover_text(help).clicked() {
                reopen(&facts.choice, actions, |choice| choice.dtype = dtype);
            }
        }
    });
}

/// What was found, what the model needs, and what was chosen, in one line.
fn memory(facts: &ModelFacts) -> String {
    let needs = bytes(facts.bytes.saturating_add(facts.room.needs.working));
    let stored = facts.dtype.map_or("as in the files".into(), |dtype| dtype.to_string());
    let Some(found) = facts.room.memory else {
        return format!("not known for this device; the model needs {needs} ({stored})");
    };
    let whose = if found.shared { "of the system" } else { "of the device" };
    let found = format!("{} {whose} found", bytes(found.bytes));
    match (facts.choice.dtype, facts.room.fitting()) {
        (Storage::Fitting, Some(Chosen { fits: true, .. })) => format!("{found}: {stored}, which needs {needs}"),
        (Storage::Fitting, _) => format!("{found}: {stored}, the smallest, needs {needs} and may not fit"),
        _ => format!("{found}; the model needs {needs} ({stored}, as you chose)"),
    }
}

/// Where it is drawn: by itself, on the processor, or on a GPU by its name, once the machine was looked at.
fn devices(ui: &mut Ui, machine: Option<&Report>, choice: &Choice, actions: &mut Vec<Action>) {
    ui.label("What it is drawn on");
    ui.horizontal_wrapped(|ui| {
        let found = machine.map_or(&[][..], |machine| &machine.devices).iter().filter(|caps| caps.backend != "Gl");
        let found =
            found.filter(|caps| caps.backend != "CPU").map(|caps| (Some(caps.name.as_str()), caps.name.as_str()));
        for (adapter, text) in [(None, "Automatic"), (Some(CPU), "The processor")].into_iter().chain(found) {
            let help = match adapter {
                None => "The GPU that shows this window; the processor where that is none",
                Some(CPU) => "The processor, with all its threads",
                Some(_) => "This adapter. A software adapter is slower than the processor",
            };
            if ui.selectable_label(choice.adapter.as_deref() == adapter, text).on_hover_text(help).clicked() {
                reopen(choice, actions, |choice| choice.adapter = adapter.map(str::to_owned));
            }
        }
    });
}

fn reopen(choice: &Choice, actions: &mut Vec<Action>, change: impl FnOnce(&mut Choice)) {
    let mut changed = choice.clone();
    change(&mut changed);
    if changed != *choice {
        actions.push(Action::Open(changed));
    }
}

fn other(ui: &mut Ui, settings: &Settings, named: &mut String, actions: &mut Vec<Action>) {
    let open = |model: &str| {
        Action::Open(Choice { model: model.to_owned(), dtype: Storage::Fitting, ..settings.choice.clone() })
    };
    quiet(
        ui,
        "A folder as diffusers saves it (it has a model_index.json), or an address below which one lies. \
               A folder can be dropped on the window too.",
    );
    ui.horizontal_wrapped(|ui| {
        let label = ui.label("Folder or address");
        let field = TextEdit::singleline(named).id(Id::unique("model")).desired_width(360.0);
        let field = ui.add(field).labelled_by(label.id);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let pressed = main_button(ui, "Open", 72.0, "Open this model").clicked();
        if (entered || pressed) && !named.trim().is_empty() {
            actions.push(open(named.trim()));
        }
        if button(ui, "Choose a folder…", "Choose the folder of a model").clicked() {
            actions.push(Action::Ask(Question::Model));
        }
    });
    ui.add_space(8.0);
    let mut line = |ui: &mut Ui, model: &str, text: &str| {
        let used = settings.choice.model == model;
        let help = "Open this model";
        // A path may be longer than the window is wide.
        if ui.add(Button::selectable(used, text).truncate()).on_hover_text(help).clicked() && !used {
            actions.push(open(model));
        }
    };
    line(ui, "", "The bundled model");
    for model in &settings.recent {
        line(ui, model, model);
    }
}
