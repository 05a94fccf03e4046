//! The policy of a request and its parameters, as the registry describes them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use egui::{Checkbox, ComboBox, Response, Slider, SliderClamping, TextEdit, Ui};
use foveate::Compression;
use foveate::compress::{Parameter, StepCache, Values};

use super::controls::{number, quiet, row, sentence};
use crate::engine::ModelFacts;

/// The most that a share of the tokens to save may be here.
const MOST_SHARE: f64 = 0.9;

/// Shows them.
pub(super) fn policy(ui: &mut Ui, compression: &mut Compression, model: &ModelFacts) {
    let own = model.policies.first().map_or("dense", |policy| policy.name.as_str()).to_owned();
    row(ui, "Policy", "Which tokens each layer and step computes", |ui| {
        let shown = compression.policy.clone().unwrap_or_else(|| format!("{own} (the model's)"));
        let combo = ComboBox::from_id_salt("policy").selected_text(shown).width(170.0);
        let shown = combo.show_ui(ui, |ui| {
            for policy in &model.policies {
                let target = (policy.name != own).then(|| policy.name.clone());
                let chosen = compression.policy == target;
                if ui.selectable_label(chosen, &policy.name).on_hover_text(sentence(&policy.summary)).clicked()
                    && !chosen
                {
                    // Ratio and parameters belong to their policy.
                    *compression = Compression { policy: target, cache: compression.cache, ..Compression::default() };
                }
            }
        });
        shown.response
    });
    let Some(policy) = model.policy(compression) else { return };
    quiet(ui, sentence(&policy.summary));
    if policy.has_ratio {
        ratio(ui, compression);
    }
    for parameter in policy.parameters.iter().filter(|parameter| parameter.name != "ratio") {
        set(ui, &mut compression.set, parameter);
    }
    cache(ui, &mut compression.cache);
}

fn ratio(ui: &mut Ui, compression: &mut Compression) {
    let mut own = compression.ratio.is_none();
    let help = "The share of the tokens that is saved: as the model was trained, or as the method was published";
    if ui.add(Checkbox::new(&mut own, "Save as many tokens as intended")).on_hover_text(help).changed() {
        compression.ratio = (!own).then_some(0.3);
    }
    if let Some(ratio) = &mut compression.ratio {
        row(ui, "Tokens saved", "The share of the tokens that is not computed", |ui| {
            let slider = Slider::new(ratio, 0.0..=MOST_SHARE).step_by(0.05).clamping(SliderClamping::Edits);
            ui.add(slider.custom_formatter(|share, _| format!("{:.0} %", share * 100.0)))
        });
    }
}

/// One parameter, by what it may be. What is set to its default is left out of the request.
fn set(ui: &mut Ui, set: &mut BTreeMap<String, String>, parameter: &Parameter) {
    let Parameter { name, default, values, help } = *parameter;
    let mut text = set.get(name).cloned().unwrap_or_else(|| default.to_owned());
    let before = text.clone();
    row(ui, &name.replace('_', " "), help, |ui| value(ui, name, &mut text, values));
    if text != before {
        match text == default {
            true => set.remove(name),
            false => set.insert(name.to_owned(), text),
        };
    }
}

fn value(ui: &mut Ui, name: &str, text: &mut String, values: Values) -> Response {
    match values {
        Values::Flag => {
            let mut on = matches!(text.as_str(), "true" | "1");
            let response = ui.add(Checkbox::without_text(&mut on));
            if response.changed() {
                *text = on.to_string();
            }
            response
        }
        Values::Word(words) => {
            let combo = ComboBox::from_id_salt(name).selected_text(text.as_str());
            let shown = combo.show_ui(ui, |ui| {
                for word in words {
                    ui.selectable_value(text, (*word).to_owned(), *word);
                }
            });
            shown.response
        }
        Values::Share => as_text(ui, text, 0.0..=0.99, 0.005, false),
        Values::Number(least, most) => {
            as_text(ui, text, least..=most, ((most - least) / 500.0).clamp(0.001, 1.0), false)
        }
        Values::Count(least) => as_text(ui, text, least as f64..=1e6, 0.1, true),
        Values::Stride | Values::Layers => ui.add(TextEdit::singleline(text).desired_width(80.0)),
    }
}

/// A number as text. A default that is no number is the policy's own choice, and stays until it is changed.
fn as_text(ui: &mut Ui, text: &mut String, range: RangeInclusive<f64>, speed: f64, whole: bool) -> Response {
    let mut value = text.parse().unwrap_or(*range.start());
    let field = number(&mut value, range, speed);
    let response = ui.add(if whole { field.fixed_decimals(0) } else { field });
    if response.changed() {
        *text = if whole { format!("{value:.0}") } else { value.to_string() };
    }
    response
}

/// The step cache around the policy.
fn cache(ui: &mut Ui, cache: &mut Option<StepCache>) {
    let help = "Compute the inner blocks only in every so many-th step; the steps between reuse what they added. \
                1 computes all";
    let mut every = cache.map_or(1, |cache| cache.every);
    let before = every;
    let unit = if every == 1 { " step" } else { " steps" };
    row(ui, "Compute all blocks every", help, |ui| ui.add(number(&mut every, 1..=10, 0.05).suffix(unit)));
    if every != before {
        *cache = every.to_string().parse().ok();
    }
}

#[cfg(test)]
mod tests {
    use egui_kittest::Harness;

    use super::*;

    #[test]
    fn what_is_outside_of_a_range_stays_as_it_is() {
        let compression = Compression { ratio: Some(0.97), cache: "12".parse().ok(), ..Compression::default() };
        let show = |ui: &mut Ui, (compression, text): &mut (Compression, String)| {
            ratio(ui, compression);
            cache(ui, &mut compression.cache);
            row(ui, "Number", "A parameter", |ui| as_text(ui, text, 0.0..=1.0, 0.1, false));
        };
        let mut harness = Harness::new_ui_state(show, (compression.clone(), "1.5".to_owned()));
        harness.step();
        assert_eq!(*harness.state(), (compression, "1.5".to_owned()));
    }
}
