//! A finished drawing: its files, and what is said about it.

use std::collections::BTreeMap;

use foveate::pipelines::{ModelFolder, Pictures, Request, Run};
use foveate::{Gpu, Result};
use serde_json::json;

use super::args::Generate;
use super::cancel::Cancel;
use super::maps;
use super::metadata;
use super::model;
use super::output::{Output, Outputs, Staged};
use super::record::Record;
use super::report;

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
    pub request: Request,
    pub folder: ModelFolder,
    pub scheduler: &'static str,
    pub gpu: Gpu,
    pub run: Run,
    pub pictures: Pictures,
    pub seconds: Seconds,
}

impl Drawing {
    /// Writes every file beside its place; only when all are complete does the first take its place.
    pub fn write(&self, outputs: &Outputs, mut record: Record, cancel: &Cancel) -> Result<()> {
        let (about, mut staged) = (self.about(), Vec::new());
        for (index, output) in outputs.pictures.iter().enumerate() {
            staged.push(output.stage(&metadata::png(&self.pictures.rgb(index)?, &about)?)?);
        }
        if let Some(output) = &outputs.tensors {
            staged.push(output.stage(&record.tensors(&self.pictures)?)?);
        }
        if let Some(output) = &outputs.profile {
            staged.push(output.stage(&record.profile(&self.gpu)?)?);
        }
        let maps = match (&outputs.maps, record.trail()) {
            (Some(folder), Some(trail)) => Some(maps::stage(folder, trail, &self.run, &self.pictures, &about, cancel)?),
            _ => None,
        };
        staged.into_iter().try_for_each(Staged::commit)?;
        maps.map_or(Ok(()), maps::Staged::commit)
    }

    /// What a picture says about itself: enough to draw it again.
    fn about(&self) -> maps::About {
        let Self { request, run, .. } = self;
        let [width, height] = self.size();
        let optional = [
            ("prompt", Some(request.prompt.clone()).filter(|prompt| !prompt.is_empty())),
            ("negative", request.negative.clone()),
            ("class", request.class.map(|class| class.to_string())),
            ("ratio", request.ratio.map(|ratio| ratio.to_string())),
            ("set", Some(self.set()).filter(|set| !set.is_empty())),
            ("step_cache", request.step_cache.map(|cache| cache.to_string())),
        ];
        let mut about: Vec<_> = optional.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
        about.extend([
            ("seed", request.seed.to_string()),
            ("steps", run.steps().to_string()),
            ("guidance", run.guidance().unwrap_or(1.0).to_string()),
            ("scheduler", self.scheduler.to_owned()),
            ("size", format!("{width}x{height}")),
            ("model", model::name(&self.folder.source)),
            ("compress", run.policy().to_owned()),
            ("version", concat!("foveate ", env!("CARGO_PKG_VERSION")).to_owned()),
        ]);
        about
    }

    /// The policy's parameters that were set.
    fn set(&self) -> String {
        let pairs: Vec<String> = self.request.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(" ")
    }

    fn size(&self) -> [usize; 2] {
        match self.pictures.0.shape[..] {
            [_, _, height, width] => [width, height],
            _ => [0, 0],
        }
    }

    /// The result, on stdout.
    pub fn tell(&self, options: &Generate, outputs: &Outputs) -> Result<()> {
        let path = |output: &Output| output.path.display().to_string();
        let paths: Vec<String> = outputs.pictures.iter().map(path).collect();
        let Seconds { load, compile, steps, decode } = self.seconds;
        let count = self.run.steps();
        if !options.json {
            let step = steps / count.max(1) as f64;
            let spent = format!("load {load:.1} s, compile {compile:.1} s, decode {decode:.1} s");
            return report::say(&format!("{}  ({count} steps of {step:.3} s; {spent})", paths.join(" ")));
        }
        report::say_json(&json!({
            "outputs": paths,
            "tensors": outputs.tensors.as_ref().map(path),
            "profile": outputs.profile.as_ref().map(path),
            "maps": outputs.maps.as_ref().map(|folder| folder.path.display().to_string()),
            "seed": self.request.seed,
            "steps": count,
            "guidance": self.run.guidance(),
            "compress": self.run.policy(),
            "ratio": self.request.ratio,
            "set": self.request.set.iter().cloned().collect::<BTreeMap<_, _>>(),
            "step_cache": self.request.step_cache.map(|cache| cache.to_string()),
            "scheduler": self.scheduler,
            "size": self.size(),
            "seconds": { "load": load, "compile": compile, "steps": steps, "decode": decode },
            "flops_per_step": self.run.flops_per_step(),
            "transient_bytes": self.run.transient_bytes(),
            "adapter": self.gpu.caps().to_string(),
            "warnings": self.run.warnings,
        }))
    }
}
