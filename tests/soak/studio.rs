//! The devices and the pipelines of one process, and how a picture is drawn with them, even where its device is lost.

use std::collections::HashMap;

use foveate::low_level::device::{Processor, ProcessorOptions};
use foveate::{Device, Error, Gpu, LoadOptions, Pictures, Pipeline, Request, Result, RunState, Source};
use pollster::block_on;

use crate::chance::Chance;
use crate::common::golden;
use crate::specimen::Specimen;

/// What a process has open.
#[derive(Default)]
pub struct Studio {
    gpu: Option<Gpu>,
    processor: Option<Processor>,
    /// By device (the GPU?) and model.
    pipelines: HashMap<(bool, &'static str), Pipeline>,
    /// Devices that were lost.
    pub lost: usize,
    /// Pipelines that were loaded.
    pub loads: usize,
}

impl Studio {
    /// What comes of a specimen: its pictures' hash, or why there are none. Where `lose` says so, its device is lost
    /// before that step (after the last: before the pictures are decoded), and it is drawn on from there on another.
    pub fn draw(&mut self, specimen: Specimen, lose: Option<usize>) -> String {
        let mut kept = None;
        let drawn = self.attempt(specimen, lose, &mut kept);
        let drawn = match (lose, drawn) {
            (Some(_), Err(error)) if matches!(error.root(), Error::DeviceLost(_)) => {
                self.lost += 1;
                self.gpu = None;
                self.pipelines.retain(|(on_gpu, _), _| !on_gpu);
                self.attempt(specimen, None, &mut kept)
            }
            // What is refused never comes to the loss.
            (Some(_), Err(error)) if error.is_usage() => Err(error),
            (Some(_), other) => panic!("{specimen:?}: the loss of its device went unnoticed: {other:?}"),
            (None, drawn) => drawn,
        };
        match drawn {
            Ok(pictures) => format!("{:?} {:016x}", pictures.0.shape, hash(pictures.0.bytes())),
            Err(error) if error.is_usage() => format!("{}: {error}", specimen.number()),
            Err(error) => panic!("{specimen:?}: {error:?}"),
        }
    }

    /// Drops some pipelines, and sometimes a device with them.
    pub fn forget(&mut self, chance: &mut Chance) {
        self.pipelines.retain(|_, _| !chance.one_in(2));
        if chance.one_in(3) {
            (self.gpu, self.processor) = (None, None);
            self.pipelines.clear();
        }
    }

    /// Draws, from `kept` on where there is such a state. Before its device is lost the state is kept.
    fn attempt(&mut self, specimen: Specimen, lose: Option<usize>, kept: &mut Option<RunState>) -> Result<Pictures> {
        let gpu = if specimen.on_gpu() { Some(self.gpu()?) } else { None };
        let pipeline = self.pipeline(specimen)?;
        let request: Request = specimen.request(&pipeline.policies());
        let mut run = pipeline.start(&request)?;
        if let Some(state) = kept {
            run.resume(state)?;
        }
        while run.taken() < run.steps() {
            if lose == Some(run.taken()) {
                *kept = Some(block_on(run.state())?);
                gpu.iter().for_each(|gpu| gpu.device().destroy());
            }
            let Some(step) = run.next_step() else { break };
            step.run()?;
            block_on(pipeline.device().wait())?;
        }
        if request.traced {
            block_on(run.trace())?;
        }
        if lose.is_some_and(|step| step >= run.steps()) {
            *kept = Some(block_on(run.state())?);
            gpu.iter().for_each(|gpu| gpu.device().destroy());
        }
        block_on(run.finish())
    }

    fn gpu(&mut self) -> Result<Gpu> {
        if self.gpu.is_none() {
            self.gpu = Some(block_on(Gpu::request(Default::default()))?);
        }
        Ok(self.gpu.clone().unwrap())
    }

    fn device(&mut self, gpu: bool) -> Result<Device> {
        if gpu {
            return Ok(self.gpu()?.into());
        }
        if self.processor.is_none() {
            self.processor = Some(Processor::new(ProcessorOptions::default())?);
        }
        Ok(self.processor.clone().unwrap().into())
    }

    fn pipeline(&mut self, specimen: Specimen) -> Result<&Pipeline> {
        let key = (specimen.on_gpu(), specimen.model());
        if !self.pipelines.contains_key(&key) {
            let device = self.device(specimen.on_gpu())?;
            let source = Source::Folder(golden(specimen.model()).join("model"));
            let load = Pipeline::load(device, source, LoadOptions::default(), |_| {});
            self.pipelines.insert(key, block_on(load)?);
            self.loads += 1;
        }
        Ok(&self.pipelines[&key])
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
