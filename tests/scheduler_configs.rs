//! Configs that swap classes, and corners the goldens leave out, against numbers that diffusers 0.42.1 printed for
//!
//! ```python
//! s = getattr(diffusers, cls).from_config(config)
//! s.set_timesteps(steps); s.set_begin_index(0)
//! x = torch.tensor([0.5, -1.25]) * getattr(s, "init_noise_sigma", 1.0)
//! for i, t in enumerate(s.timesteps):
//!     x = s.step(torch.tensor([sin(i + 1.0), cos(i + 1.0)]), t, x).prev_sample
//! ```

#![allow(clippy::unwrap_used)] // a test may; clippy knows only the functions marked as one

use foveate::schedulers::{self, Schedulers};

/// --scheduler, config, steps asked for, steps made, the first two timesteps and the last, the last sample.
type Case = (&'static str, &'static str, [usize; 2], [f32; 3], [f32; 2]);

/// Another class's config: shared fields carry over, foreign ones are left alone but for sigma_min and sigma_max, which
/// diffusers' curves find wherever they came from.
const FOREIGN: &[Case] = &[
    (
        "euler",
        r#"{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule":
            "scaled_linear", "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1, "timestep_spacing":
            "leading", "skip_prk_steps": true}"#,
        [4, 4],
        [751.0, 501.0, 1.0],
        [-0.882413, -5.579923],
    ),
    (
        "dpm",
        r#"{"_class_name": "DDIMScheduler", "beta_schedule": "linear", "clip_sample": false, "num_train_timesteps":
            1000, "prediction_type": "epsilon", "set_alpha_to_one": true, "steps_offset": 0, "trained_betas": null}"#,
        [5, 5],
        [999.0, 799.0, 200.0],
        [-47.336338, -244.55353],
    ),
    (
        "ddim",
        r#"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++", "solver_order": 2,
            "timestep_spacing": "linspace", "use_karras_sigmas": true, "variance_type": null}"#,
        [4, 4],
        [999.0, 666.0, 0.0],
        [0.5579706, 0.69738096],
    ),
    (
        "dpm",
        r#"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "sigma_min": 0.05, "sigma_max":
            20.0, "interpolation_type": "linear"}"#,
        [6, 6],
        [768.0, 650.0, 11.0],
        [-2.0578191, -20.86897],
    ),
    (
        "dpm",
        r#"{"_class_name": "EulerDiscreteScheduler", "use_exponential_sigmas": true, "sigma_max": 20.0,
            "final_sigmas_type": "sigma_min"}"#,
        [6, 6],
        [768.0, 542.0, 0.0],
        [-5.8283176, -28.318983],
    ),
    (
        "dpm",
        r#"{"_class_name": "DEISMultistepScheduler", "algorithm_type": "deis", "solver_type": "logrho",
            "final_sigmas_type": "sigma_min"}"#,
        [4, 4],
        [999.0, 749.0, 250.0],
        [-51.099346, -256.9002],
    ),
    (
        "dpm",
        r#"{"_class_name": "UniPCMultistepScheduler", "solver_type": "bh2", "predict_x0": true,
            "disable_corrector": [], "solver_p": null}"#,
        [4, 4],
        [999.0, 749.0, 250.0],
        [-51.09433, -256.9065],
    ),
    (
        "flow-match",
        r#"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "sigma_min": 0.05, "sigma_max":
            0.9}"#,
        [4, 4],
        [900.0, 389.5222, 50.0],
        [-0.12329498, -1.2942108],
    ),
    (
        "dpm",
        r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": true,
            "time_shift_type": "exponential", "base_shift": 0.5}"#,
        [4, 4],
        [999.0, 749.0, 250.0],
        [-51.09433, -256.9065],
    ),
];

/// Options that exclude or contradict each other, and the step too many of trailing timesteps.
const CORNERS: &[Case] = &[
    (
        "euler",
        r#"{"_class_name": "EulerDiscreteScheduler", "prediction_type": "original_sample"}"#,
        [4, 4],
        [999.0, 666.0, 0.0],
        [-0.75680256, -0.6536436],
    ),
    (
        "euler",
        r#"{"_class_name": "EulerDiscreteScheduler", "interpolation_type": "log_linear", "use_karras_sigmas": true}"#,
        [4, 4],
        [999.0, 775.13434, 0.0],
        [-54.215107, -260.9083],
    ),
    (
        "dpm",
        r#"{"_class_name": "DPMSolverMultistepScheduler", "use_lu_lambdas": true, "use_exponential_sigmas": true}"#,
        [4, 4],
        [999.0, 603.0, 0.0],
        [-54.183178, -271.32498],
    ),
    (
        "dpm",
        r#"{"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": true, "prediction_type": "epsilon",
            "flow_shift": 2.0}"#,
        [4, 4],
        [999.0, 856.0, 399.0],
        [-679.5398, -3570.6926],
    ),
    (
        "dpm",
        r#"{"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"}"#,
        [4, 4],
        [999.0, 749.0, 250.0],
        [1.9860232, 5.685778],
    ),
    (
        "ddim",
        r#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 100, "timestep_spacing": "trailing",
            "clip_sample": null}"#,
        [29, 30],
        [99.0, 96.0, -1.0],
        [2.487961, -3.3354845],
    ),
    (
        "euler",
        r#"{"_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 100, "timestep_spacing": "trailing"}"#,
        [29, 30],
        [99.0, 96.0, -1.0],
        [0.58907926, -1.5990151],
    ),
    (
        "dpm",
        r#"{"_class_name": "DPMSolverMultistepScheduler", "num_train_timesteps": 100, "timestep_spacing":
            "trailing"}"#,
        [29, 30],
        [99.0, 96.0, -1.0],
        [0.8015963, -1.9386637],
    ),
];

#[test]
fn configs_give_diffusers_last_sample() {
    for &(name, text, [steps, made], [first, second, last], expected) in FOREIGN.iter().chain(CORNERS) {
        let config = schedulers::parse("c.json", text).unwrap();
        let scheduler = Schedulers::default().named(name, "c.json", &config).unwrap();
        let schedule = scheduler.schedule(steps).unwrap();
        assert_eq!(schedule.steps.len(), made, "{name} {text}");
        let told = [0, 1, made - 1].map(|i| schedule.steps[i].timestep);
        for (told, expected) in told.into_iter().zip([first, second, last]) {
            let slack = if expected.fract() == 0.0 { 0.0 } else { 1e-6 * expected };
            assert!((told - expected).abs() <= slack, "{name} {text}: timestep {told} against {expected}");
        }
        for (element, (initial, expected)) in [0.5, -1.25].into_iter().zip(expected).enumerate() {
            let (mut x, mut history) = (initial * schedule.init_noise_sigma, [0.0; 2]);
            for (index, step) in schedule.steps.iter().enumerate() {
                let angle = index as f32 + 1.0;
                let g = if element == 0 { angle.sin() } else { angle.cos() };
                let (next, m) = step.apply(x, g, history, 0.0);
                (x, history) = (next, [m, history[0]]);
            }
            // As in tests/schedulers.rs, here for a single element.
            assert!((x - expected).abs() <= 2e-5 * expected.abs().max(1.0), "{name} {text}: {x} against {expected}");
        }
    }
}

#[test]
fn what_diffusers_saves_is_read() {
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "solver_order": 2}"#;
    let config = schedulers::parse("c.json", text).unwrap();
    assert_eq!(Schedulers::default().from_config("c.json", &config).unwrap().schedule(4).unwrap().steps.len(), 4);
}
