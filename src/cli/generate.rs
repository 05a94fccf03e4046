//! `foveate generate`: checks, load, prepare, step, decode, write. The loop is the program's own, as in any host.

use std::time::Instant;

use foveate::gpu::{Gpu, GpuOptions};
use foveate::pipelines::{Compress, GUIDED, LATENTS, LoadOptions, ModelFolder, Pictures, Pipeline, Request, Run};
use foveate::rng::Generator;
use foveate::{Result, Tensor};
use serde_json::json;

use super::args::Generate;
use super::cancel::Cancel;
use super::inputs;
use super::metadata;
use super::model;
use super::output::{Outputs, Staged};
use super::progress::Progress;
use super::report;
use super::tensors::Tensors;
use super::trace::Trace;

/// What was measured on the way, in seconds.
#[derive(Debug, Default)]
struct Seconds {
    load: f64,
    compile: f64,
    steps: f64,
    decode: f64,
}

/// Draws what `options` ask for.
pub async fn run(options: &Generate) -> Result<()> {
    options.check()?;
    let request = inputs::request(options).await?;
    let source = model::find(options.model.as_deref())?;
    let outputs = Outputs::check(options, count(&request))?;
    let folder = ModelFolder::open(source).await?;
    folder.kind()?.check(&request)?;
    let scheduler = folder.scheduler(request.scheduler.as_deref()).await?.class();

    let cancel = Cancel::on_interrupt()?;
    let (mut progress, mut seconds) = (Progress::new(), Seconds::default());
    let gpu = Gpu::request(GpuOptions { adapter: options.adapter.clone(), profile: options.profile.is_some() }).await?;
    let mut trace = match options.profile {
        Some(_) => Some(Trace::new(&gpu).await?),
        None => None,
    };

    let clock = Instant::now();
    let load = LoadOptions { dtype: options.dtype };
    let pipeline = Pipeline::from_folder(&gpu, &folder, load, |at| progress.loading(at)).await?;
    seconds.load = clock.elapsed().as_secs_f64();
    cancel.check()?;

    progress.busy("compile");
    let clock = Instant::now();
    let mut run = pipeline.prepare(&request).await?;
    gpu.wait().await?;
    seconds.compile = clock.elapsed().as_secs_f64();
    run.warnings.iter().for_each(|warning| progress.warn(warning));
    cancel.check()?;

    let mut tensors = options.save_tensors.as_ref().map(|_| Tensors::default());
    if let Some(tensors) = &mut tensors {
        tensors.insert("latents_init", starting_noise(&request, &run).await?);
    }
    progress.steps(run.steps());
    let clock = Instant::now();
    while let Some(step) = run.next_step() {
        let (index, mut encoder) = (step.index, gpu.encoder());
        match &mut trace {
            Some(trace) => step.encode_profiled(&mut encoder, &mut trace.profiler)?,
            None => step.encode(&mut encoder)?,
        }
        gpu.submit(encoder);
        gpu.wait().await?;
        cancel.check()?;
        if let Some(trace) = &mut trace {
            trace.end_step(&gpu).await?;
        }
        if let Some(tensors) = &mut tensors {
            tensors.insert(format!("noise_pred.{index}"), run.read(GUIDED).await?);
            tensors.insert(format!("latents.{index}"), run.read(LATENTS).await?);
        }
        progress.step();
    }
    seconds.steps = clock.elapsed().as_secs_f64();

    progress.busy("decode");
    let clock = Instant::now();
    let pictures = run.decode().await?;
    seconds.decode = clock.elapsed().as_secs_f64();
    cancel.check()?;
    progress.done();

    // Everything is complete beside its place before anything takes its place.
    let about = about(&request, &run, &folder, scheduler, &pictures);
    let mut staged: Vec<Staged> = Vec::new();
    for (index, output) in outputs.pictures.iter().enumerate() {
        staged.push(output.stage(&metadata::png(&pictures.rgb(index)?, &about)?)?);
    }
    if let (Some(mut tensors), Some(output)) = (tensors, &outputs.tensors) {
        tensors.insert("image", if pictures.len() == 1 { pictures.planes(0)? } else { pictures.0.clone() });
        staged.push(output.stage(&tensors.file()?)?);
    }
    if let (Some(trace), Some(output)) = (trace, &outputs.profile) {
        if trace.dropped() > 0 {
            progress.warn(&format!("{} groups are missing in the profile: a step has too many", trace.dropped()));
        }
        staged.push(output.stage(&trace.file(&gpu.caps().to_string())?)?);
    }
    staged.into_iter().try_for_each(Staged::commit)?;
    tell(options, &outputs, &gpu, &run, &pictures, scheduler, &seconds)
}

/// As many pictures as asked for; as many as there are latents where those were given.
fn count(request: &Request) -> usize {
    let given = request.init_latents.as_ref().and_then(|latents| latents.shape.first().copied());
    request.count.or(given).unwrap_or(1)
}

/// The noise that was given, or that the seed draws, before the scheduler scales it.
async fn starting_noise(request: &Request, run: &Run) -> Result<Tensor> {
    match &request.init_latents {
        Some(given) => Ok(given.clone()),
        None => {
            let shape = run.read(LATENTS).await?.shape;
            let values = Generator::manual_seed(request.seed).randn(shape.iter().product());
            Tensor::new(&shape, values)
        }
    }
}

/// What a picture says about itself.
fn about(
    request: &Request,
    run: &Run,
    folder: &ModelFolder,
    scheduler: &str,
    pictures: &Pictures,
) -> Vec<(&'static str, String)> {
    let [width, height] = size(pictures);
    let texts = [("prompt", request.prompt.clone()), ("negative", request.negative.clone())];
    let mut about: Vec<_> = texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
    about.extend(request.class.map(|class| ("class", class.to_string())));
    about.extend([
        ("seed", request.seed.to_string()),
        ("steps", run.steps().to_string()),
        ("guidance", run.guidance().unwrap_or(1.0).to_string()),
        ("scheduler", scheduler.to_owned()),
        ("size", format!("{width}x{height}")),
        ("model", model::name(&folder.source)),
        ("compress", request.compress.unwrap_or(Compress::Dense).to_string()),
        ("version", concat!("foveate ", env!("CARGO_PKG_VERSION")).to_owned()),
    ]);
    about
}

fn size(pictures: &Pictures) -> [usize; 2] {
    match pictures.0.shape[..] {
        [_, _, height, width] => [width, height],
        _ => [0, 0],
    }
}

/// The result, on stdout.
fn tell(
    options: &Generate,
    outputs: &Outputs,
    gpu: &Gpu,
    run: &Run,
    pictures: &Pictures,
    scheduler: &str,
    seconds: &Seconds,
) -> Result<()> {
    let paths: Vec<String> = outputs.pictures.iter().map(|output| output.path.display().to_string()).collect();
    let Seconds { load, compile, steps, decode } = seconds;
    if !options.json {
        let each = steps / run.steps().max(1) as f64;
        let summary = format!("{} steps of {each:.3} s, load {load:.1} s, decode {decode:.1} s", run.steps());
        return report::say(&format!("{} ({summary})", paths.join(" ")));
    }
    let optional = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    report::say_json(&json!({
        "outputs": paths,
        "tensors": optional(&options.save_tensors),
        "profile": optional(&options.profile),
        "seed": options.seed,
        "steps": run.steps(),
        "guidance": run.guidance(),
        "scheduler": scheduler,
        "size": size(pictures),
        "seconds": { "load": load, "compile": compile, "steps": steps, "decode": decode },
        "flops_per_step": run.flops_per_step(),
        "transient_bytes": run.transient_bytes(),
        "adapter": gpu.caps().to_string(),
        "warnings": run.warnings,
    }))
}
