//! Foveate as a peer of `python -m benches.peers`: `peer cpu [THREADS]` or `peer gpu`. Commands and answers are those
//! of
//! `protocol.py`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::{Duration, Instant};

use foveate::low_level::device::{Device, Plan, Processor, ProcessorOptions, Store};
use foveate::low_level::pipeline::{PREDICTION, StepSize, TransformerSteps};
use foveate::low_level::weights::Format;
use foveate::{Compression, Gpu, LoadOptions, Model, Size, Source};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A step is repeated for so long.
const WHILE: Duration = Duration::from_millis(250);

/// `case.json`.
#[derive(Deserialize)]
struct Description {
    model: String,
    batch: usize,
    text: usize,
    compression: Compression,
}

/// A case under one policy.
struct Case {
    store: Store,
    /// Of each distinct step.
    plans: Vec<Plan>,
    /// Of each distinct step the share of all steps that are like it.
    shares: Vec<f64>,
}

fn main() -> Result<()> {
    // `cargo bench` adds --bench, which is for the standard harness.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let device = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["gpu"] => pollster::block_on(Gpu::request(Default::default()))?.into(),
        ["cpu"] => processor(None)?,
        ["cpu", threads] => processor(Some(threads.parse()?))?,
        _ => return Err("peer cpu [THREADS], or peer gpu; commands come by stdin".into()),
    };
    eprintln!("{}", device.caps());
    let mut cases = HashMap::new();
    for line in stdin().lock().lines() {
        let line = line?;
        let answer = answer(&device, &mut cases, &line.split_whitespace().collect::<Vec<_>>());
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": error.to_string() })));
    }
    Ok(())
}

fn processor(threads: Option<usize>) -> Result<Device> {
    Ok(Processor::new(ProcessorOptions { threads, ..Default::default() })?.into())
}

fn answer(device: &Device, cases: &mut HashMap<String, Case>, words: &[&str]) -> Result<Value> {
    match *words {
        ["load", folder, out] => {
            let case = pollster::block_on(Case::load(device, Path::new(folder)))?;
            pollster::block_on(case.write_prediction(device, Path::new(out)))?;
            let flops = case.mean(|plan| Ok(plan.flops() as f64))?;
            cases.insert(folder.into(), case);
            Ok(json!({ "flops": flops }))
        }
        ["time", folder] => {
            let case = cases.get(folder).ok_or("this case is not loaded")?;
            Ok(json!({ "seconds": case.mean(|plan| seconds(device, plan))? }))
        }
        _ => Err("load FOLDER OUT, or time FOLDER".into()),
    }
}

impl Case {
    /// Opens the model in f32, whatever its files are in: the other peers have f32 alone.
    async fn load(device: &Device, folder: &Path) -> Result<Self> {
        let Description { model, batch, text, compression } =
            serde_json::from_slice(&std::fs::read(folder.join("case.json"))?)?;
        let options = LoadOptions { dtype: Some(Format::F32), ..LoadOptions::default() };
        let model = Model::open(Source::parse(&model), options).await?;
        let transformer = TransformerSteps::open(&model).await?;
        let size = StepSize { batch, latents: Size::square(transformer.sizes().sample_size), text };
        let timesteps = model.scheduler(None).await?.schedule(model.habits().steps)?.timesteps();
        let policy = model.registry().policies.policy(&compression, &transformer.trained, 0, false)?;
        let steps = policy.steps(&timesteps, transformer.grid(size.latents)?.tokens());
        let shares = steps.shares();

        let given = transformer.given(size).await?;
        let graphs = steps.distinct.iter().map(|step| transformer.step(size, &given, step));
        let graphs = graphs.collect::<foveate::Result<Vec<_>>>()?;
        let mut store = transformer.load(device, |_| {}).await?;
        transformer.insert_inputs(device, &mut store, size).await?;
        for graph in &graphs {
            store.allocate_missing(device, graph).await?;
        }
        let plans = Plan::compile_pooled(device, &graphs, &store).await?;
        Ok(Self { store, plans, shares })
    }

    /// Runs a first step, and writes what it predicts.
    async fn write_prediction(&self, device: &Device, out: &Path) -> Result<()> {
        self.plans[0].run(device)?;
        let prediction = self.store.read(device, PREDICTION).await?;
        let view = TensorView::new(Dtype::F32, prediction.shape.clone(), prediction.bytes())?;
        Ok(safetensors::serialize_to_file([(PREDICTION, view)], None, out)?)
    }

    /// The mean over all steps, of what each distinct one has.
    fn mean(&self, of: impl Fn(&Plan) -> Result<f64>) -> Result<f64> {
        self.plans.iter().zip(&self.shares).map(|(plan, share)| Ok(share * of(plan)?)).sum()
    }
}

/// Of one step, each waited for: once to get warm, then for a while.
fn seconds(device: &Device, plan: &Plan) -> Result<f64> {
    let step = || -> foveate::Result<()> {
        plan.run(device)?;
        pollster::block_on(device.wait())
    };
    step()?;
    let (start, mut runs) = (Instant::now(), 0);
    while runs == 0 || start.elapsed() < WHILE {
        step()?;
        runs += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(runs))
}
