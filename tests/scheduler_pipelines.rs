//! The schedules of whole pipelines: with the noise that diffusers' own model predicted, every latent on the way must
//! be diffusers' own.

#![allow(clippy::unwrap_used)] // a test may; clippy knows only the functions marked as one

use std::{fs, path::PathBuf};

use foveate::schedulers::{self, Schedulers};
use safetensors::SafeTensors;
use serde_json::Value;

/// Relative L2 of the latents after any step, as in tests/schedulers.rs; here the model is a real one, far from σ = 157
/// only at first.
const TOLERANCE: f64 = 1e-5;

#[test]
fn latents_are_those_of_the_pipelines() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(request) = fs::read(folder.join("request.json")) else { continue };
        let request: Value = serde_json::from_slice(&request).unwrap();
        let file = folder.join("model/scheduler/scheduler_config.json");
        let name = file.display().to_string();
        let config = schedulers::parse(&name, fs::read(&file).unwrap()).unwrap();
        let scheduler = Schedulers::default().from_config(&name, &config).unwrap();
        assert_eq!(scheduler.class(), request["scheduler"]);
        let mut schedule = scheduler.schedule(request["steps"].as_u64().unwrap() as usize).unwrap();
        let mut scale = schedule.init_noise_sigma;
        if request["pipeline"] == "DiTPipeline" {
            // It starts every scheduler from unit noise, and steps from the sample as the model saw it.
            (schedule, scale) = (schedule.from_scaled_input(), 1.0);
        } else if request["pipeline"] == "PixArtAlphaPipeline" && schedule.steps.len() == 1 {
            schedule = schedule.predicted();
        }

        let bytes = fs::read(folder.join("expected.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |name: &str| -> Option<Vec<f32>> {
            let data = tensors.tensor(name).ok()?.data().chunks_exact(4);
            Some(data.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
        };
        let mut x: Vec<f32> = tensor("latents_init").unwrap().into_iter().map(|v| v * scale).collect();
        let mut history = [vec![0.0; x.len()], vec![0.0; x.len()]];
        for (index, step) in schedule.steps.iter().enumerate() {
            let at = |part: &str| tensor(&format!("{part}.{index}"));
            let (g, expected, z) = (at("noise_pred").unwrap(), at("latents").unwrap(), at("step_noise"));
            assert_eq!(step.draws_noise(), z.is_some(), "{name}: step {index}");
            let z = z.unwrap_or(vec![0.0; x.len()]);
            let element = |i: usize| step.apply(x[i], g[i], [history[0][i], history[1][i]], z[i]);
            let (next, m): (Vec<f32>, Vec<f32>) = (0..x.len()).map(element).unzip();
            let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
            let difference = square(&mut next.iter().zip(&expected).map(|(a, b)| a - b));
            let error = (difference / square(&mut expected.iter().copied())).sqrt();
            assert!(error <= TOLERANCE, "{name}: step {index}: {error:.2e}");
            (x, history) = (next, [m, std::mem::take(&mut history[0])]);
        }
        compared += 1;
    }
    assert!(compared >= 15, "only {compared} pipelines");
}
