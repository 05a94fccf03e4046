//! `foveate generate`: check, load, prepare, step, decode, write. The loop is this program's own, as it is any host's.

use std::time::Instant;

use foveate::low_level::pipeline::Parts;
use foveate::low_level::text::printable;
use foveate::{Device, LoadOptions, Model, Pictures, Pipeline, Request, Result, Run};
use foveate_studio::model::name;

use super::args::Generate;
use super::cancel::Cancel;
use super::drawing::{Drawing, Seconds};
use super::hints;
use super::inputs;
use super::model::find;
use super::output::Outputs;
use super::photo::Given;
use super::progress::Progress;
use super::record::Record;
use super::request::Asked;

/// Draws what `options` ask for. Whatever can be found wrong early is.
pub async fn run(options: &Generate) -> Result<()> {
    let mut asked = Asked::new(options)?;
    inputs::read(options, &mut asked.request).await?;
    let mut given = Given::read(options)?;
    let source = find(options.model.as_deref())?;
    let name = name(&source);
    // From here on a signal does not end the program on the spot: nothing of what is tried out may be left behind.
    let progress = Progress::new();
    let cancel = Cancel::on_interrupt(options.json, &progress)?;
    let outputs = Outputs::check(options, asked.request.pictures())?;
    let model = Model::open(source, LoadOptions { dtype: asked.dtype, ..LoadOptions::default() }).await?;
    // Found wrong before anything is loaded.
    model.habits().draws.check(&asked.request)?;
    model.scheduler(asked.request.scheduler.as_deref()).await?;
    let parts = model.parts().await?;
    given.fit(&parts, &mut asked.request)?;
    let request = &asked.request;
    parts.check(request, model.habits())?;

    cancel.check()?;
    let mut studio = Studio::open(options, progress, cancel).await?;
    let mut record = Record::new(options, &studio.device).await?;
    if let Some(other) = asked.drawn_with.as_ref().filter(|other| **other != name) {
        studio.warn(format!("the picture was drawn with the model {other:?}, and this one is drawn with {name:?}"));
    }
    let pipeline = studio.load(model, parts).await?;
    let mut run = studio.prepare(&pipeline, request).await?;
    record.start(&run).await?;
    studio.steps(&mut run, &mut record).await?;
    let pictures = studio.decode(&run).await?;
    record.warnings().into_iter().for_each(|warning| studio.warn(warning));

    let Studio { device, progress, cancel, seconds, warnings } = studio;
    cancel.begin_writing()?;
    progress.busy("write");
    let drawing = Drawing { asked, given, model: name, device, run, pictures, seconds, warnings };
    drawing.write(&outputs, record, &cancel)?;
    progress.done();
    drawing.report(options, &outputs)
}

/// The device, and what the user sees and says while it works.
struct Studio {
    device: Device,
    progress: Progress,
    cancel: Cancel,
    seconds: Seconds,
    warnings: Vec<String>,
}

impl Studio {
    async fn open(options: &Generate, progress: Progress, cancel: Cancel) -> Result<Self> {
        let device = options.device.choice().open(options.profile.is_some()).await?;
        Ok(Self { device, progress, cancel, seconds: Seconds::default(), warnings: Vec::new() })
    }

    fn warn(&mut self, warning: String) {
        self.progress.warn(&warning);
        self.warnings.push(printable(&warning));
    }

    async fn load(&mut self, model: Model, parts: Parts) -> Result<Pipeline> {
        let clock = Instant::now();
        let told = |at: foveate::Progress<'_>| {
            self.progress.loading(at);
            self.cancel.check()
        };
        let load = Pipeline::from_parts(&self.device, model, parts, told);
        let pipeline = self.cancel.unless(load).await?;
        self.seconds.load = clock.elapsed().as_secs_f64();
        Ok(pipeline)
    }

    async fn prepare(&mut self, pipeline: &Pipeline, request: &Request) -> Result<Run> {
        self.progress.busy("compile");
        let clock = Instant::now();
        let prepare = pipeline.prepare_with(request, |_| self.cancel.check());
        let run = self.cancel.unless(prepare).await?;
        self.seconds.compile = clock.elapsed().as_secs_f64();
        run.warnings.iter().map(hints::warning).for_each(|warning| self.warn(warning));
        Ok(run)
    }

    async fn steps(&mut self, run: &mut Run, record: &mut Record) -> Result<()> {
        self.progress.steps(run.steps());
        let clock = Instant::now();
        while let Some(step) = run.next_step() {
            let (index, timestep) = (step.index, step.timestep);
            self.cancel.unless(record.run(&self.device, &step)).await?;
            self.cancel.check()?;
            record.after_step(&self.device, run, index, timestep).await?;
            self.progress.step();
        }
        self.seconds.steps = clock.elapsed().as_secs_f64();
        Ok(())
    }

    async fn decode(&mut self, run: &Run) -> Result<Pictures> {
        self.progress.busy("decode");
        let clock = Instant::now();
        let pictures = self.cancel.unless(run.decode()).await?;
        self.seconds.decode = clock.elapsed().as_secs_f64();
        Ok(pictures)
    }
}
