//! Every scheduler against diffusers, over every case of `tests/goldens/schedulers`: a model whose outputs are fixed
//! random tensors is driven through the tables, and each sample must be diffusers' own.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may; clippy knows only the functions marked as one

use std::{collections::HashMap, fs, path::PathBuf};

use foveate::schedulers::{Schedule, Schedulers, Step};
use safetensors::SafeTensors;
use serde_json::Value;

/// Relative L2 of a sample after any step, errors of earlier steps included. The coefficients follow diffusers' f32
/// arithmetic operation by operation; what remains is the order of the sum and torch's own `log`, `exp` and, with MKL,
/// `sqrt`, each a unit in the last place (6e-8) off. A model far from its data amplifies that up to a hundredfold, as
/// x/α at α = 1/157.
const TOLERANCE: f64 = 1e-5;

/// Half a unit in the last place. diffusers' Euler adds to x a multiple of itself: where σ falls from 4096 to 1 in one
/// step, what is left carries the rounding of a number that much larger. This is allowed on top, in proportion.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Relative, of timesteps found from noise levels. Whole ones must be equal.
const TIMESTEP_TOLERANCE: f64 = 1e-6;

const KINDS: [&str; 5] = ["ddim", "ddpm", "dpm_solver", "euler", "flow_match"];

/// Cases refused, with the field that the refusal must name.
const REFUSED: &[(&str, &str, &str)] = &[
    ("ddim", "threshold", "thresholding"),
    ("ddim", "threshold_ratio", "thresholding"),
    ("ddpm", "threshold", "thresholding"),
    ("ddpm", "threshold_ratio", "thresholding"),
    ("ddpm", "variance_learned", "variance_type"),
    ("ddpm", "variance_learned_range", "variance_type"),
    ("dpm_solver", "dpmsolver_threshold", "thresholding"),
    ("dpm_solver", "threshold", "thresholding"),
    ("dpm_solver", "threshold_ratio", "thresholding"),
    ("dpm_solver", "threshold_sample", "thresholding"),
    ("flow_match", "dynamic_exponential_1", "use_dynamic_shifting"),
    ("flow_match", "dynamic_exponential_4", "use_dynamic_shifting"),
    ("flow_match", "dynamic_exponential_20", "use_dynamic_shifting"),
    ("flow_match", "dynamic_ignores_shift", "use_dynamic_shifting"),
    ("flow_match", "dynamic_linear_1", "use_dynamic_shifting"),
    ("flow_match", "dynamic_linear_4", "use_dynamic_shifting"),
    ("flow_match", "dynamic_linear_20", "use_dynamic_shifting"),
    ("flow_match", "terminal_dynamic", "use_dynamic_shifting"),
];

/// Cases that depend on an argument of a call, which no config can hold and the pipelines here do not pass.
const ARGUMENTS: &[(&str, &str)] =
    &[("ddim", "eta_half"), ("ddim", "eta_one"), ("dpm_solver", "flow_dynamic"), ("euler", "churn")];

/// The cases of one scheduler, and the rows of their tensors.
struct Goldens {
    cases: Vec<Value>,
    tensors: HashMap<String, Vec<Vec<f32>>>,
}

impl Goldens {
    fn read(kind: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/schedulers");
        let text = fs::read_to_string(folder.join(format!("{kind}.cases.json"))).unwrap();
        let Value::Array(cases) = serde_json::from_str(&text).unwrap() else { panic!("{kind}: not a list") };
        let bytes = fs::read(folder.join(format!("{kind}.safetensors"))).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, tensor)| {
            assert_eq!(tensor.dtype(), safetensors::Dtype::F32, "{name}");
            let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            let values: Vec<f32> = values.collect();
            let rows = values.chunks_exact(values.len() / tensor.shape()[0]).map(Into::into).collect();
            (name.to_string(), rows)
        });
        Self { cases, tensors: tensors.collect() }
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

fn length(values: &[f32]) -> f64 {
    norm(values.iter().map(|v| f64::from(*v)))
}

/// |found − expected| / |expected|.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    norm(found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b))) / length(expected).max(1e-30)
}

/// Drives `schedule` over the case's model; the largest error of a sample as a multiple of what is allowed, or what
/// else is wrong.
fn compare(goldens: &Goldens, case: &Value, schedule: &Schedule) -> Result<f64, String> {
    let name = case["name"].as_str().unwrap();
    let tensor = |part: &str| goldens.tensors.get(&format!("{name}/{part}"));
    let sigma = case["init_noise_sigma"].as_f64().unwrap();
    if (f64::from(schedule.init_noise_sigma) - sigma).abs() > 1e-6 * sigma {
        return Err(format!("init_noise_sigma {} against {sigma}", schedule.init_noise_sigma));
    }
    let timesteps = tensor("timesteps").unwrap();
    if schedule.steps.len() != timesteps.len() {
        return Err(format!("{} steps against {}", schedule.steps.len(), timesteps.len()));
    }
    let (outputs, samples) = (&goldens.tensors["model_outputs"], tensor("samples").unwrap());
    let (scaled, predicted, noise) = (tensor("scaled"), tensor("predicted"), tensor("noise"));

    let initial = goldens.tensors["sample"].concat();
    let mut x: Vec<f32> = initial.iter().map(|v| v * schedule.init_noise_sigma).collect();
    let mut history = [vec![0.0; x.len()], vec![0.0; x.len()]];
    let (mut worst, mut allowed) = (0.0_f64, TOLERANCE);
    for (index, step) in schedule.steps.iter().enumerate() {
        let (told, expected) = (f64::from(step.timestep), f64::from(timesteps[index][0]));
        let slack = if expected.fract() == 0.0 { 0.0 } else { TIMESTEP_TOLERANCE * expected.abs() };
        if (told - expected).abs() > slack {
            return Err(format!("step {index}: timestep {told} against {expected}"));
        }
        let z = noise.map_or(vec![0.0; x.len()], |noise| noise[index].clone());
        if step.draws_noise() != z.iter().any(|z| *z != 0.0) {
            return Err(format!("step {index}: draws noise where diffusers does not, or the reverse"));
        }
        let input: Vec<f32> = x.iter().map(|v| v * step.input_scale).collect();
        let element = |i: usize| step.apply(x[i], outputs[index][i], [history[0][i], history[1][i]], z[i]);
        let (next, m): (Vec<f32>, Vec<f32>) = (0..x.len()).map(element).unzip();
        if let Some(scaled) = scaled {
            worst = worst.max(relative(&input, &scaled[index]) / allowed);
        }
        // A prediction that diffusers has as infinite is clamped here, and shows in the sample.
        if let Some(row) = predicted.map(|rows| &rows[index]).filter(|row| row.iter().all(|v| v.is_finite())) {
            worst = worst.max(relative(&m, row) / allowed.max(ROUNDING * length(&x) / length(row)));
        }
        allowed = allowed.max(ROUNDING * length(&x) / length(&next));
        worst = worst.max(relative(&next, &samples[index]) / allowed);
        if !next.iter().chain(&m).all(|v| v.is_finite()) {
            return Err(format!("step {index}: not finite"));
        }
        x = next;
        history = [m, std::mem::take(&mut history[0])];
    }
    Ok(worst)
}

#[test]
fn every_case_passes_or_is_refused_by_name() {
    let (mut failures, mut refused, mut skipped, mut passed) = (vec![], 0, 0, 0);
    for kind in KINDS {
        let goldens = Goldens::read(kind);
        for case in &goldens.cases {
            let name = case["name"].as_str().unwrap();
            let scheduler = Schedulers::default().from_config("c.json", &case["config"]);
            if let Some((.., field)) = REFUSED.iter().find(|(k, n, _)| (*k, *n) == (kind, name)) {
                refused += 1;
                match scheduler {
                    Ok(_) => failures.push(format!("{kind}/{name}: not refused")),
                    Err(error) => {
                        let message = error.to_string();
                        assert!(message.starts_with(&format!("c.json: {field} = ")), "{kind}/{name}: {message}");
                    }
                }
                continue;
            }
            let has_arguments = ["call", "step"].iter().any(|part| !case[part].as_object().unwrap().is_empty());
            assert_eq!(has_arguments, ARGUMENTS.contains(&(kind, name)), "{kind}/{name}");
            if has_arguments {
                skipped += 1;
                continue;
            }
            let schedule = scheduler.and_then(|scheduler| scheduler.schedule(case["steps"].as_u64().unwrap() as usize));
            match schedule.map_err(|error| error.to_string()).and_then(|s| compare(&goldens, case, &s)) {
                Ok(error) if error <= 1.0 => passed += 1,
                Ok(error) => failures.push(format!("{kind}/{name}: {error:.1} times the error allowed")),
                Err(reason) => failures.push(format!("{kind}/{name}: {reason}")),
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} cases\n{}", failures.len(), failures.len() + passed, failures.join("\n"));
    assert_eq!((refused, skipped), (REFUSED.len(), ARGUMENTS.len()));
    assert!(passed > 300, "only {passed} cases");
}

/// The cases of one scheduler that pass and have at least three steps.
fn passing(kind: &str) -> (Goldens, Vec<(Value, Schedule)>) {
    let goldens = Goldens::read(kind);
    let schedule = |case: &Value| {
        let scheduler = Schedulers::default().from_config("c.json", &case["config"]).ok()?;
        let schedule = scheduler.schedule(case["steps"].as_u64()? as usize).ok()?;
        (schedule.steps.len() >= 3 && compare(&goldens, case, &schedule).is_ok_and(|error| error <= 1.0))
            .then(|| (case.clone(), schedule))
    };
    let cases: Vec<_> = goldens.cases.iter().filter_map(schedule).collect();
    assert!(cases.len() >= 15, "{kind}: {}", cases.len());
    (goldens, cases)
}

/// Whether the comparison notices what `harm` does to a schedule.
fn notices(goldens: &Goldens, case: &Value, schedule: &Schedule, harm: impl FnOnce(&mut Schedule)) -> bool {
    let mut harmed = schedule.clone();
    harm(&mut harmed);
    !compare(goldens, case, &harmed).is_ok_and(|error| error <= 1.0)
}

#[test]
fn a_swapped_step_is_noticed() {
    for kind in KINDS {
        let (goldens, cases) = passing(kind);
        for (case, schedule) in cases {
            assert!(notices(&goldens, &case, &schedule, |s| s.steps.swap(0, 1)), "{kind}/{}", case["name"]);
            let exchange = |s: &mut Schedule| {
                // The timesteps stay: only the arithmetic is another's.
                let (a, b) = (s.steps[0], s.steps[1]);
                s.steps[0] = Step { timestep: a.timestep, ..b };
                s.steps[1] = Step { timestep: b.timestep, ..a };
            };
            // Even steps along a straight line have the same arithmetic, whichever comes first.
            let is_straight = kind == "flow_match" || case["config"]["use_flow_sigmas"] == true;
            assert!(is_straight || notices(&goldens, &case, &schedule, exchange), "{kind}/{}", case["name"]);
        }
    }
}

/// One coefficient of a step.
type Coefficient = fn(&mut Step) -> &mut f32;

#[test]
fn a_perturbed_coefficient_is_noticed() {
    let coefficients: [(&str, Coefficient); 10] = [
        ("input_scale", |step| &mut step.input_scale),
        ("convert_sample", |step| &mut step.convert_sample),
        ("convert_output", |step| &mut step.convert_output),
        ("clip", |step| &mut step.clip),
        ("sample", |step| &mut step.sample),
        ("output", |step| &mut step.output),
        ("current", |step| &mut step.current),
        ("previous[0]", |step| &mut step.previous[0]),
        ("previous[1]", |step| &mut step.previous[1]),
        ("noise", |step| &mut step.noise),
    ];
    let cases = KINDS.map(passing);
    for (name, coefficient) in coefficients {
        let perturb = |s: &mut Schedule| *coefficient(&mut s.steps[2]) *= 0.999;
        let is_noticed = |index: &usize| {
            let (goldens, cases) = &cases[*index];
            cases.iter().any(|(case, schedule)| notices(goldens, case, schedule, perturb))
        };
        let noticed: Vec<_> = (0..KINDS.len()).filter(is_noticed).map(|index| KINDS[index]).collect();
        // Where no case has the coefficient it cannot matter; where one has it, it must.
        let expected: &[&str] = match name {
            "input_scale" => &["euler"],
            "convert_sample" | "convert_output" | "sample" | "current" => &KINDS,
            "clip" => &["ddim", "ddpm"],
            "output" => &["ddim", "euler", "flow_match"],
            "previous[0]" | "previous[1]" => &["dpm_solver"],
            _ => &["ddpm", "dpm_solver", "flow_match"],
        };
        assert_eq!(noticed, expected, "{name}");
    }
}

#[test]
fn a_forgotten_draw_is_noticed() {
    for kind in ["ddpm", "dpm_solver", "flow_match"] {
        let (goldens, cases) = passing(kind);
        let drawing = cases.iter().find(|(_, schedule)| schedule.draws_noise() > 0);
        let (case, schedule) = drawing.unwrap();
        assert!(notices(&goldens, case, schedule, |s| s.steps[0].draws = 0), "{kind}");
    }
}
