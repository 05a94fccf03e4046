//! `foveate generate`: check, load, prepare, step, decode, write. The loop is this program's own, as it is any host's.

use std::time::Instant;

use foveate::gpu::{Gpu, GpuOptions};
use foveate::pipelines::{LoadOptions, ModelFolder, Pipeline, Request, Run};
use foveate::{Pictures, Result};

use super::args::Generate;
use super::cancel::Cancel;
use super::drawing::{Drawing, Seconds};
use super::inputs;
use super::model;
use super::output::Outputs;
use super::progress::Progress;
use super::record::Record;

/// Draws what `options` ask for. Whatever can be found wrong early is.
pub async fn run(options: &Generate) -> Result<()> {
    options.check()?;
    let request = inputs::request(options).await?;
    let source = model::find(options.model.as_deref())?;
    let outputs = Outputs::check(options, count(&request))?;
    let folder = ModelFolder::open(source).await?;
    folder.kind()?.check(&request)?;
    let scheduler = folder.scheduler(request.scheduler.as_deref()).await?.class();

    let mut studio = Studio::open(options).await?;
    let mut record = Record::new(options, &studio.gpu).await?;
    let pipeline = studio.load(&folder, LoadOptions { dtype: options.dtype }).await?;
    let mut run = studio.prepare(&pipeline, &request).await?;
    record.start(&request, &run).await?;
    studio.steps(&mut run, &mut record).await?;
    let pictures = studio.decode(&run).await?;

    let Studio { gpu, mut progress, cancel, seconds } = studio;
    progress.busy("write");
    let drawing = Drawing { request, folder, scheduler, gpu, run, pictures, seconds };
    record.warnings().iter().for_each(|warning| progress.warn(warning));
    drawing.write(&outputs, record, &cancel)?;
    progress.done();
    drawing.tell(options, &outputs)
}

/// As many pictures as asked for; as many as there are latents where those were given.
fn count(request: &Request) -> usize {
    let given = request.init_latents.as_ref().and_then(|latents| latents.shape.first().copied());
    request.count.or(given).unwrap_or(1)
}

/// The device, and what the user sees and says while it works.
struct Studio {
    gpu: Gpu,
    progress: Progress,
    cancel: Cancel,
    seconds: Seconds,
}

impl Studio {
    async fn open(options: &Generate) -> Result<Self> {
        let cancel = Cancel::on_interrupt()?;
        let wish = GpuOptions { adapter: options.adapter.clone(), profile: options.profile.is_some() };
        let gpu = Gpu::request(wish).await?;
        Ok(Self { gpu, progress: Progress::new(), cancel, seconds: Seconds::default() })
    }

    async fn load(&mut self, folder: &ModelFolder, options: LoadOptions) -> Result<Pipeline> {
        let clock = Instant::now();
        let pipeline = Pipeline::from_folder(&self.gpu, folder, options, |at| self.progress.loading(at)).await?;
        self.seconds.load = clock.elapsed().as_secs_f64();
        self.cancel.check()?;
        Ok(pipeline)
    }

    async fn prepare(&mut self, pipeline: &Pipeline, request: &Request) -> Result<Run> {
        self.progress.busy("compile");
        let clock = Instant::now();
        let run = pipeline.prepare(request).await?;
        self.gpu.wait().await?; // for the text encoder, which was only submitted
        self.seconds.compile = clock.elapsed().as_secs_f64();
        run.warnings.iter().for_each(|warning| self.progress.warn(warning));
        self.cancel.check()?;
        Ok(run)
    }

    async fn steps(&mut self, run: &mut Run, record: &mut Record) -> Result<()> {
        self.progress.steps(run.steps());
        let clock = Instant::now();
        while let Some(step) = run.next_step() {
            let (index, timestep, mut encoder) = (step.index, step.timestep, self.gpu.encoder());
            record.encode(&step, &mut encoder)?;
            self.gpu.submit(encoder);
            self.gpu.wait().await?;
            self.cancel.check()?;
            record.after_step(&self.gpu, run, index, timestep).await?;
            self.progress.step();
        }
        self.seconds.steps = clock.elapsed().as_secs_f64();
        Ok(())
    }

    async fn decode(&mut self, run: &Run) -> Result<Pictures> {
        self.progress.busy("decode");
        let clock = Instant::now();
        let pictures = run.decode().await?;
        self.seconds.decode = clock.elapsed().as_secs_f64();
        self.cancel.check()?;
        Ok(pictures)
    }
}
