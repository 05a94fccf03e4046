//! WGSL sources and the pipelines compiled from them.

use std::sync::Arc;

use super::Gpu;
use crate::{Error, Result};

/// A WGSL file: plain, complete, and open to any WGSL tool. Variants are `override` constants.
#[derive(Debug)]
pub struct Shader {
    /// The file's stem, shared with its Rust twin in `src/kernels/`.
    pub stem: &'static str,
    /// Its text.
    pub source: &'static str,
}

/// Names a compiled pipeline: a shader, its entry point and the values of its `override` constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PipelineKey {
    stem: &'static str,
    entry: &'static str,
    /// Bits of the f64 values, which makes the key hashable.
    constants: Vec<(&'static str, u64)>,
}

/// A compute pipeline with the layout its shader implies.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// The pipeline of `shader`'s `entry` with `constants`, compiled at first use.
    pub async fn pipeline(
        &self,
        shader: &'static Shader,
        entry: &'static str,
        constants: &[(&'static str, f64)],
    ) -> Result<Arc<Pipeline>> {
        let bits = constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key = PipelineKey { stem: shader.stem, entry, constants: bits };
        if let Some(known) = self.pipelines().get(&key) {
            return Ok(known.clone());
        }
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(shader.stem),
            source: wgpu::ShaderSource::Wgsl(shader.source.into()),
        });
        let raw = self.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.stem),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // Every kernel writes its workgroup memory before reading it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let layout = raw.get_bind_group_layout(0);
        if let Some(error) = self.unless_lost(scope.pop()).await? {
            let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(Error::Gpu(format!("compiling {}.wgsl ({entry}): {reason}", shader.stem)));
        }
        let pipeline = Arc::new(Pipeline { raw, layout });
        self.pipelines().insert(key, pipeline.clone());
        Ok(pipeline)
    }
}
