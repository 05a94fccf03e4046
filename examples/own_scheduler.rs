//! A scheduler of another crate: DDIM whose timesteps lie closer together the less noise is left, as in the paper's
//! quadratic choice (arXiv 2010.02502, appendix D.2). It reads the config of the model's own scheduler, and requests
//! name it like those of the library.
//!
//! `cargo run --release --example own_scheduler [MODEL]`

use foveate::schedulers::{
    CURVES, Fields, Noising, PREDICTIONS, Prediction, Schedule, Scheduler, SchedulerKind, Step, check_steps,
};
use foveate::{Gpu, LoadOptions, Pipeline, Request, Result, Source};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");
const CLASS: &str = "QuadraticDdimScheduler";

/// How requests name it, and how it is read.
const KIND: SchedulerKind = SchedulerKind {
    names: &["quadratic"],
    class: CLASS,
    read: |file, json| {
        // The config may be another class's. What this one reads is taken out, and what no class knows is refused.
        let mut fields = Fields::new(file, CLASS, json)?;
        let noising = Noising::read(&mut fields, &CURVES)?;
        let prediction = fields.choice("prediction_type", "epsilon", &PREDICTIONS)?;
        fields.finish()?;
        Ok(Box::new(Quadratic { noising, prediction }))
    },
};

/// The scheduler.
#[derive(Debug)]
struct Quadratic {
    noising: Noising,
    prediction: Prediction,
}

impl Quadratic {
    /// The timesteps, the noisiest first: squares, evenly spaced by their roots.
    fn timesteps(&self, steps: usize) -> Vec<i64> {
        let last = (self.train_timesteps() - 1) as f64;
        let at = |step: usize| (last * ((step + 1) as f64 / steps as f64).powi(2)).round() as i64;
        (0..steps).rev().map(at).collect()
    }

    /// From the remaining signal `bar` of one level to that of the next: the image is guessed, and noised again.
    fn step(&self, timestep: i64, bar: f32, next: f32) -> Step {
        let (alpha, sigma) = (bar.sqrt(), (1.0 - bar).sqrt());
        let (image, noise) = (self.prediction.image(alpha, sigma), self.prediction.noise(alpha, sigma));
        let level = (1.0 - next).sqrt();
        Step {
            convert_sample: image.sample,
            convert_output: image.output,
            sample: level * noise.sample,
            output: level * noise.output,
            current: next.sqrt(),
            ..Step::at(timestep as f32)
        }
    }
}

impl Scheduler for Quadratic {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn train_timesteps(&self) -> usize {
        self.noising.train_timesteps()
    }

    fn schedule(&self, steps: usize) -> Result<Schedule> {
        check_steps(CLASS, steps, self.train_timesteps())?;
        let timesteps = self.timesteps(steps);
        // Behind the last step nothing of the noise is left.
        let bars: Vec<f32> = timesteps.iter().filter_map(|&at| self.noising.at(at)).chain([1.0]).collect();
        let steps = timesteps.iter().zip(bars.windows(2)).map(|(&at, bars)| self.step(at, bars[0], bars[1]));
        // How noisy the sample is before each step, for runs that begin with a picture.
        let levels = self.noising.levels(&timesteps);
        Schedule::new(CLASS, steps.collect(), levels, 1.0)
    }
}

fn main() -> Result<()> {
    let model = std::env::args().nth(1).unwrap_or(TINY.into());
    pollster::block_on(draw(Source::parse(&model)))
}

async fn draw(model: Source) -> Result<()> {
    let mut options = LoadOptions::default();
    options.registry.schedulers.add(KIND);
    let gpu = Gpu::request(Default::default()).await?;
    let pipeline = Pipeline::load(&gpu, model, options, |_| {}).await?;
    for scheduler in ["ddim", "quadratic"] {
        let request = Request { steps: Some(6), scheduler: Some(scheduler.into()), ..Request::prompt("a red house") };
        let mut run = pipeline.prepare(&request).await?;
        let mut timesteps = Vec::new();
        while let Some(step) = run.next_step() {
            timesteps.push(step.timestep);
            step.run()?;
        }
        println!("{}: {timesteps:?}", run.scheduler());
        run.finish().await?.save(0, format!("own_scheduler-{scheduler}.png"))?;
    }
    Ok(())
}
