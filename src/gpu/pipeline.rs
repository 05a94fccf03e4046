//! Compiled pipelines, each kept under all that it was compiled from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::graph::Dispatch;
use crate::shared::lock;

/// A compute pipeline with the layout its shader implies.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// What a pipeline is compiled from: a shader's text, its entry point and the values of its `override` constants. The
/// text and not the name, so that shaders of the same name never meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PipelineKey {
    source: &'static str,
    entry: &'static str,
    /// Bits of the f64 values, which makes the key hashable.
    constants: Vec<(&'static str, u64)>,
}

impl From<&Dispatch> for PipelineKey {
    fn from(Dispatch { shader, entry, constants, .. }: &Dispatch) -> Self {
        let constants = constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        Self { source: shader.source, entry, constants }
    }
}

/// The pipelines of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines(Mutex<HashMap<PipelineKey, Arc<Pipeline>>>);

impl Pipelines {
    /// The pipeline compiled earlier, if there is one.
    pub fn get(&self, key: &PipelineKey) -> Option<Arc<Pipeline>> {
        lock(&self.0).get(key).cloned()
    }

    /// Keeps a pipeline.
    pub fn keep(&self, key: PipelineKey, pipeline: Arc<Pipeline>) {
        lock(&self.0).insert(key, pipeline);
    }
}
