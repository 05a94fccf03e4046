//! A finished drawing: its files, and the report about it.

use foveate::{Device, Pictures, Result, Run};
use foveate_studio::output::{Output, Staged};
use foveate_studio::{About, device};
use serde_json::json;

use super::args::Generate;
use super::cancel::Cancel;
use super::maps;
use super::output::Outputs;
use super::photo::Given;
use super::record::Record;
use super::report;
use super::request::Asked;

/// What was measured on the way, in seconds.
#[derive(Debug, Default)]
pub struct Seconds {
    pub load: f64,
    pub compile: f64,
    pub steps: f64,
    pub decode: f64,
}

/// Pictures, and how they came about.
#[derive(Debug)]
pub struct Drawing {
    pub asked: Asked,
    /// The picture that it began with.
    pub given: Given,
    /// The model's name.
    pub model: String,
    pub device: Device,
    pub run: Run,
    pub pictures: Pictures,
    pub seconds: Seconds,
    /// What the user was warned of.
    pub warnings: Vec<String>,
}

impl Drawing {
    /// Writes every file beside its place; only when all are complete does the first take its place.
    pub fn write(&self, outputs: &Outputs, mut record: Record, cancel: &Cancel) -> Result<()> {
        let Asked { request, dtype, .. } = &self.asked;
        let about = About::new(request, &self.model, *dtype, &self.run);
        let mut staged = Vec::new();
        for (index, output) in outputs.pictures.iter().enumerate() {
            staged.push(output.stage(&about.png(&self.given.finished(&self.pictures, index)?, index, &[])?)?);
        }
        if let Some(output) = &outputs.tensors {
            staged.push(output.stage(&record.tensors(&self.pictures)?)?);
        }
        if let Some(output) = &outputs.profile {
            staged.push(output.stage(&record.profile(&self.device)?)?);
        }
        let maps = match (&outputs.maps, record.trail()) {
            (Some(folder), Some(trail)) => Some(maps::stage(folder, trail, &self.run, &self.pictures, &about, cancel)?),
            _ => None,
        };
        staged.into_iter().try_for_each(Staged::commit)?;
        maps.map_or(Ok(()), maps::Staged::commit)
    }

    /// The result, on stdout.
    pub fn report(&self, options: &Generate, outputs: &Outputs) -> Result<()> {
        let path = |output: &Output| output.path.display().to_string();
        let paths: Vec<String> = outputs.pictures.iter().map(path).collect();
        let Seconds { load, compile, steps, decode } = self.seconds;
        let (count, request) = (self.run.steps(), &self.asked.request);
        if !options.json {
            let step = steps / count.max(1) as f64;
            let spent = format!("load {load:.1} s, compile {compile:.1} s, decode {decode:.1} s");
            // The program chose the processor by itself.
            let chosen = options.device.choice().is_open() && device::is_processor(&self.device);
            let place = if chosen { " on the processor, as there is no GPU" } else { "" };
            return report::say(&format!("{}  ({count} steps of {step:.3} s{place}; {spent})", paths.join(" ")));
        }
        report::say_json(&json!({
            "outputs": paths,
            "tensors": outputs.tensors.as_ref().map(path),
            "profile": outputs.profile.as_ref().map(path),
            "maps": outputs.maps.as_ref().map(|folder| folder.path.display().to_string()),
            "seed": request.seed,
            "steps": count,
            "guidance": self.run.guidance(),
            "compress": self.run.policy(),
            "ratio": request.compression.ratio,
            "set": request.compression.set,
            "step_cache": request.compression.cache,
            "masked": request.compression.masked,
            "strength": request.strength,
            "scheduler": self.run.scheduler(),
            "size": self.run.size(),
            "seconds": { "load": load, "compile": compile, "steps": steps, "decode": decode },
            "flops_per_step": self.run.flops_per_step(),
            "transient_bytes": self.run.transient_bytes(),
            "adapter": self.device.caps().to_string(),
            "tuning": self.run.tuning(),
            "warnings": self.warnings,
        }))
    }
}
