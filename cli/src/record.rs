//! What is kept of a run beside its pictures: tensors for `--save-tensors`, times for `--profile`,
//! routing for `--maps`.

use foveate::low_level::pipeline::{FIRST_NOISE, GUIDED, LATENTS};
use foveate::{Device, Pictures, Result, Run, Step};
use foveate::{LayerTrace, Traced};

use super::args::Generate;
use super::maps::{self, Routing, StepTrail, Trail};
use super::tensors::Tensors;
use super::trace::Trace;

/// All of them, where they were asked for.
#[derive(Debug)]
pub struct Record {
    tensors: Option<Tensors>,
    trace: Option<Trace>,
    trail: Option<Trail>,
}

impl Record {
    /// Fails where a profile is asked of an adapter that cannot give one.
    pub async fn new(options: &Generate, device: &Device) -> Result<Self> {
        let trace = match options.profile {
            Some(_) => Some(Trace::new(device.gpu("a profile")?).await?),
            None => None,
        };
        let tensors = options.save_tensors.as_ref().map(|_| Tensors::default());
        Ok(Self { tensors, trace, trail: options.maps.as_ref().map(|_| Trail::default()) })
    }

    /// Before the first step. Fails where maps are asked of a run that has none.
    pub async fn start(&mut self, run: &Run) -> Result<()> {
        if self.trail.is_some() {
            maps::check(run)?;
        }
        if let Some(tensors) = &mut self.tensors {
            tensors.insert("latents_init", run.read(FIRST_NOISE).await?);
        }
        Ok(())
    }

    /// Runs a step to its end: timed where times are wanted, and then in one submission.
    pub async fn run(&mut self, device: &Device, step: &Step<'_>) -> Result<()> {
        let Some(trace) = &mut self.trace else { return step.run_to_end().await };
        let gpu = device.gpu("a profile")?;
        let mut encoder = gpu.encoder();
        step.encode_profiled(&mut encoder, &mut trace.profiler)?;
        gpu.submit(encoder);
        gpu.wait().await
    }

    /// After step `index` has run, at `timestep`.
    pub async fn after_step(&mut self, device: &Device, run: &Run, index: usize, timestep: f32) -> Result<()> {
        if let Some(trace) = &mut self.trace {
            trace.end_step(device.gpu("a profile")?).await?;
        }
        if let Some(tensors) = &mut self.tensors {
            tensors.insert(format!("noise_pred.{index}"), run.read(GUIDED).await?);
            tensors.insert(format!("latents.{index}"), run.read(LATENTS).await?);
        }
        if self.tensors.is_none() && self.trail.is_none() {
            return Ok(());
        }
        let mut layers = Vec::new();
        for LayerTrace { layer, tokens } in run.trace().await? {
            match (tokens, &mut self.tensors) {
                (Traced::Kept { kept, scores }, tensors) => {
                    if let Some(tensors) = tensors {
                        tensors.insert(format!("router.scores.{index}.{layer}"), scores.clone());
                        tensors.insert(format!("router.kept.{index}.{layer}"), kept.clone());
                    }
                    layers.push(Routing { scores, kept });
                }
                (Traced::Merged { destination }, Some(tensors)) => {
                    tensors.insert(format!("merge.destination.{index}.{layer}"), destination);
                }
                (Traced::Merged { .. }, None) => {}
            }
        }
        if let Some(Trail(steps)) = &mut self.trail {
            steps.push(StepTrail { timestep, layers });
        }
        Ok(())
    }

    /// What the user should know.
    pub fn warnings(&self) -> Vec<String> {
        let dropped = self.trace.as_ref().map_or(0, Trace::dropped);
        (dropped > 0).then(|| crate::trace::lacks(dropped)).into_iter().collect()
    }

    /// The file for `--save-tensors`.
    pub fn tensors(&mut self, pictures: &Pictures) -> Result<Vec<u8>> {
        let tensors = self.tensors.get_or_insert_default();
        tensors.insert("image", if pictures.len() == 1 { pictures.planes(0)? } else { pictures.0.clone() });
        tensors.file()
    }

    /// What `--maps` shows.
    pub fn trail(&self) -> Option<&Trail> {
        self.trail.as_ref()
    }

    /// The file for `--profile`.
    pub fn profile(&self, device: &Device) -> Result<Vec<u8>> {
        self.trace.as_ref().map_or(Ok(Vec::new()), |trace| trace.file(&device.caps().to_string()))
    }
}
