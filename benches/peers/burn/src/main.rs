//! burn as a peer of `python -m benches.peers`: `burn-peer flex|wgpu`. Commands and answers are those of
//! `protocol.py`. How many threads flex has is in RAYON_NUM_THREADS.

mod transformer;
mod weights;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use transformer::Transformer;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A step is repeated for so long.
const WHILE: Duration = Duration::from_millis(250);

fn main() -> Result<()> {
    let device = match std::env::args().nth(1).as_deref() {
        Some("flex") => Device::flex(),
        Some("wgpu") => Device::wgpu(Default::default()),
        _ => return Err("burn-peer flex, or burn-peer wgpu; commands come by stdin".into()),
    };
    let mut cases = HashMap::new();
    for line in stdin().lock().lines() {
        let line = line?;
        let answer = answer(&device, &mut cases, &line.split_whitespace().collect::<Vec<_>>());
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": error.to_string() })));
    }
    Ok(())
}

fn answer(device: &Device, cases: &mut HashMap<String, Transformer>, words: &[&str]) -> Result<Value> {
    match *words {
        ["load", folder, out] => {
            let case = Transformer::load(Path::new(folder), device)?;
            write_prediction(&case, Path::new(out))?;
            cases.insert(folder.into(), case);
            Ok(json!({ "flops": null }))
        }
        ["time", folder] => {
            let case = cases.get(folder).ok_or("this case is not loaded")?;
            Ok(json!({ "seconds": seconds(device, case)? }))
        }
        _ => Err("load FOLDER OUT, or time FOLDER".into()),
    }
}

fn write_prediction(case: &Transformer, out: &Path) -> Result<()> {
    let prediction = case.step().into_data();
    let shape = prediction.shape().to_vec();
    let numbers = prediction.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    Ok(safetensors::serialize_to_file([("prediction", view)], None, out)?)
}

/// Of one step, each waited for: once to get warm, then for a while.
fn seconds(device: &Device, case: &Transformer) -> Result<f64> {
    let step = || -> Result<()> {
        let prediction = case.step();
        device.sync().map_err(|error| format!("{error:?}"))?;
        drop(prediction); // burn computes nothing that nobody holds
        Ok(())
    };
    step()?;
    let (start, mut runs) = (Instant::now(), 0);
    while runs == 0 || start.elapsed() < WHILE {
        step()?;
        runs += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(runs))
}
