//! The queue: what waits, what is drawn, what became of it.

use egui::{Label, Response, RichText, Sense, Ui};

use super::action::Action;
use super::controls::{button, quiet, sentence, sign, title};
use crate::state::{Job, Live, Queue, State};
use crate::theme::Palette;

/// Shows it.
pub fn queue(ui: &mut Ui, queue: &Queue, live: Option<&Live>, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        ui.strong("Queue");
        match queue.waiting() {
            0 => {}
            1 => drop(quiet(ui, "1 waits")),
            waiting => drop(quiet(ui, format!("{waiting} wait"))),
        }
        let help = "Cancel what is drawn and what waits; finished pictures are kept (Shift+Esc)";
        if queue.waiting() > 0 && button(ui, "Cancel all", help).clicked() {
            actions.push(Action::CancelAll);
        }
        let help = "Take what is over off the list; pictures stay in the history";
        if queue.jobs().iter().any(Job::is_over) && button(ui, "Clear", help).clicked() {
            actions.push(Action::ClearQueue);
        }
    });
    if queue.paused {
        quiet(ui, "These were waiting when the app was closed.");
        if button(ui, "Continue", "Draw what waits").clicked() {
            actions.push(Action::Continue);
        }
    }
    if queue.jobs().is_empty() {
        quiet(ui, "Nothing is waiting. Each press of Draw adds to the queue.");
        return;
    }
    // What is at work first, then what waits in its order, then what is over, the latest first.
    let jobs = queue.jobs();
    let at_work = jobs.iter().filter(|job| job.state.is_at_work());
    let waiting = jobs.iter().filter(|job| job.state == State::Waiting);
    let over = jobs.iter().rev().filter(|job| job.is_over());
    for job in at_work.chain(waiting).chain(over) {
        ui.push_id(job.id, |ui| entry(ui, job, live.filter(|live| live.job == job.id), actions));
    }
}

fn entry(ui: &mut Ui, job: &Job, live: Option<&Live>, actions: &mut Vec<Action>) {
    ui.separator();
    let title = title(&job.request);
    let shown = ui.add(Label::new(&title).truncate().sense(Sense::click()));
    if let State::Done(picture) = &job.state
        && shown.on_hover_text("Show the picture").clicked()
    {
        actions.push(Action::Show(picture.clone()));
    }
    ui.horizontal(|ui| {
        state(ui, job, live);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| match &job.state {
            State::Waiting => {
                if sign(ui, "✖", &format!("Cancel: {title}"), "Do not draw this").clicked() {
                    actions.push(Action::Cancel(job.id));
                }
                for (shown, name, earlier) in [("⬇", "Later", false), ("⬆", "Earlier", true)] {
                    let help = if earlier { "Draw this earlier" } else { "Draw this later" };
                    if sign(ui, shown, &format!("{name}: {title}"), help).clicked() {
                        actions.push(Action::Shift(job.id, earlier));
                    }
                }
            }
            State::Running => {
                if sign(ui, "✖", &format!("Cancel: {title}"), "Stop this picture (Esc)").clicked() {
                    actions.push(Action::Cancel(job.id));
                }
            }
            State::Unsaved(_) => {
                if sign(ui, "✖", &format!("Give up: {title}"), "Do not save this picture").clicked() {
                    actions.push(Action::Cancel(job.id));
                }
                if sign(ui, "↺", &format!("Save: {title}"), "Try now to save this picture").clicked() {
                    actions.push(Action::Save);
                }
            }
            State::Failed(_) | State::Cancelled => {
                if sign(ui, "↺", &format!("Retry: {title}"), "Put this into the queue again").clicked() {
                    actions.push(Action::Retry(job.id));
                }
            }
            State::Done(_) => {}
        });
    });
}

fn state(ui: &mut Ui, job: &Job, live: Option<&Live>) {
    let palette = Palette::of(ui);
    let seed = job.request.seed;
    match &job.state {
        State::Waiting => quiet(ui, format!("waits · seed {seed}")),
        State::Running => {
            let steps = live
                .filter(|live| live.steps > 0)
                .map(|live| format!("step {} of {}", (live.done + 1).min(live.steps), live.steps));
            ui.label(RichText::new(steps.unwrap_or("preparing".into())).small().color(palette.accent))
        }
        State::Unsaved(why) => bad(ui, "drawn, not saved", why),
        State::Done(_) => quiet(ui, format!("done · seed {seed}")),
        State::Failed(why) => bad(ui, "failed", why),
        State::Cancelled => quiet(ui, "cancelled"),
    };
}

fn bad(ui: &mut Ui, what: &str, why: &str) -> Response {
    ui.label(RichText::new(what).small().color(Palette::of(ui).bad)).on_hover_text(sentence(why))
}
