//! One picture, from a task to a PNG: steps with previews, then the decoder, then the file with its request inside.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foveate::low_level::pipeline::LATENTS;
use foveate::photo::{Frame, Original};
use foveate::{Context, Pictures, Pipeline, Request, Result, Run, Tensor};
use foveate_studio::{About, photo};
use image::RgbImage;

use super::device::Shared;
use super::message::{Drawn, Event, Preview, Stop, Task, Teller, Took, Traced, Wishes};
use super::projection::Projection;
use crate::input::Beginning;
use crate::picture::{SHOWN, THUMBNAIL, shrunk, small};

/// Quick previews come no faster than anyone sees.
const BETWEEN_PREVIEWS: Duration = Duration::from_millis(60);

/// What drawing works with.
pub(super) struct Easel<'a> {
    pub pipeline: &'a Pipeline,
    /// The model's name.
    pub model: &'a str,
    pub projection: &'a mut Projection,
    pub teller: &'a Teller,
    pub wishes: &'a Wishes,
    pub stop: &'a Stop,
    /// Where the pictures are that drawings begin with.
    pub inputs: &'a Path,
    /// The window's device, where it is shared.
    pub shared: Option<&'a Shared>,
}

impl Easel<'_> {
    /// Draws the picture of a task, which is to be saved at `path`.
    pub fn draw(&mut self, task: &Task, path: PathBuf) -> Result<Drawn> {
        let mut request = task.request.clone();
        let began_with = task.beginning.as_ref().map(|beginning| self.begin(beginning, &mut request)).transpose()?;
        let mut run = self.stop.or(self.pipeline.prepare_with(&request, |_| self.stop.check()))?;
        self.check()?;
        self.teller.tell(Event::Began {
            task: task.id,
            steps: run.steps(),
            grid: run.grid(),
            warnings: run.warnings.iter().map(ToString::to_string).collect(),
        });
        let took = self.steps(task, &mut run)?;
        let pictures = self.stop.or(run.decode())?;
        self.check()?;
        self.learn(&pollster::block_on(run.read(LATENTS))?, &pictures);

        let about = About::new(&request, self.model, self.pipeline.model().options.dtype, &run);
        let drawn = pictures.rgb(0)?;
        let picture = match began_with {
            Some((original, frame)) => original.finished(&frame, &drawn),
            None => drawn,
        };
        let png = about.png(&picture, 0, &took.words())?.into();
        let picture = shrunk(SHOWN, picture);
        let thumbnail = small(THUMBNAIL, &picture).unwrap_or_else(|| picture.clone());
        Ok(Drawn { task: task.id, path, png, origin: about.origin, took, picture, thumbnail })
    }

    /// Has a request begin with a picture. Returns the picture, and where it lies on the canvas.
    fn begin(&self, beginning: &Beginning, request: &mut Request) -> Result<(Original, Frame)> {
        let read = || {
            let picture = photo::photo(&self.inputs.join(&beginning.picture))?;
            let mask = beginning.mask.as_ref().map(|mask| photo::mask(&self.inputs.join(mask))).transpose()?;
            Original::new(picture, mask)
        };
        let mut original = read().context(|| "reading the picture to begin with")?;
        (original.fit, original.feather) = (beginning.fit(), beginning.feather);
        let size = request.size.map_or_else(|| self.pipeline.canvas_for(original.photo().size()), Ok)?;
        let frame = original.begin(request, size)?;
        Ok((original, frame))
    }

    /// Fails once the user stopped it, or the shared device has reported an error.
    fn check(&self) -> Result<()> {
        self.stop.check()?;
        self.shared.map_or(Ok(()), Shared::check)
    }

    /// Takes all steps.
    fn steps(&mut self, task: &Task, run: &mut Run) -> Result<Took> {
        let device = self.pipeline.device();
        let mut took = Took {
            dense_flops: run.dense_flops_per_step() * run.steps() as u64,
            device: device.caps().name.clone(),
            policy: run.policy().to_owned(),
            ..Took::default()
        };
        let mut shown = Instant::now();
        while let Some(step) = run.next_step() {
            let clock = Instant::now();
            let (index, of) = (step.index, step.of);
            took.flops += step.flops();
            self.stop.or(step.run_to_end())?;
            let seconds = clock.elapsed().as_secs_f64();
            took.seconds += seconds;
            self.check()?;
            let due = shown.elapsed() >= BETWEEN_PREVIEWS || index + 1 == of;
            let preview = if due { self.preview(run, task)? } else { None };
            if due {
                shown = Instant::now();
            }
            let traced = if task.request.traced { Some(traced(run)?) } else { None };
            self.check()?;
            self.teller.tell(Event::Step { task: task.id, index, seconds, preview, traced });
        }
        Ok(took)
    }

    /// What the picture looks like now. A model whose projection is not known yet is decoded, which teaches it: unless
    /// only a part is decoded, for the rest is then the given picture while its latents are still noisy.
    fn preview(&mut self, run: &Run, task: &Task) -> Result<Option<RgbImage>> {
        let wished = self.wishes.preview();
        if wished == Preview::Off {
            return Ok(None);
        }
        let latents = pollster::block_on(run.read(LATENTS))?;
        if wished == Preview::Quick
            && let Some(quick) = self.projection.show(&latents)
        {
            return Ok(Some(quick));
        }
        let pictures = self.stop.or(run.decode())?;
        if task.request.compression.masked.is_none() {
            self.learn(&latents, &pictures);
        }
        Ok(Some(shrunk(SHOWN, pictures.rgb(0)?)))
    }

    fn learn(&mut self, latents: &Tensor, pictures: &Pictures) {
        self.projection.learn(latents, &pictures.0);
    }
}

/// What the last step computed.
fn traced(run: &Run) -> Result<Traced> {
    let (layers, tokens, sample) = (run.layers(), run.grid().tokens(), run.conditional_sample(0));
    let mut traced = Traced { layers: vec![1.0; layers], tokens: vec![layers as f32; tokens] };
    for layer in pollster::block_on(run.trace())? {
        let computed = layer.tokens.computed()?;
        let Some(row) = computed.f32().get(sample * tokens..(sample + 1) * tokens) else { continue };
        if let Some(share) = traced.layers.get_mut(layer.layer) {
            *share = row.iter().sum::<f32>() / tokens.max(1) as f32;
            traced.tokens.iter_mut().zip(row).for_each(|(sum, kept)| *sum -= 1.0 - kept);
        }
    }
    traced.tokens.iter_mut().for_each(|sum| *sum /= layers.max(1) as f32);
    Ok(traced)
}
