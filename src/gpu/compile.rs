//! From a graph to a recording: pipelines compiled, uniforms written, bind groups made, once.

use std::sync::Arc;

use super::Gpu;
use super::buffer::Storage;
use super::pipeline::{Pipeline, PipelineKey};
use super::recording::{Bindings, Command, Recording};
use crate::device::{Buffer, Places};
use crate::graph::{Bind, Dispatch, Element, Graph, Op, Pass, ValueId};
use crate::text::one_line;
use crate::{Context, Error, Result};

/// A dispatch, and what it binds.
struct Bound<'a> {
    group: &'a str,
    dispatch: Dispatch,
    binds: Vec<Bind>,
}

impl Gpu {
    /// Records every op of `graph`, with its values in the given places.
    pub(super) async fn record(&self, graph: &Graph, places: &Places) -> Result<Recording> {
        let mut all = Vec::new();
        for node in graph.nodes() {
            let passes = node.op.passes();
            let dispatches = node.op.record(graph, self.caps())?;
            check_parts(graph, places, node.op.as_ref(), &dispatches)?;
            for dispatch in dispatches {
                self.caps().check_workgroups(node.op.name(), dispatch.workgroups)?;
                let binds = pass_of(node.op.as_ref(), &passes, &dispatch)?.binds().to_vec();
                all.push(Bound { group: &node.group, dispatch, binds });
            }
        }
        let (params, offsets) = self.write_params(all.iter().map(|bound| &bound.dispatch)).await?;
        let dummy = self.allocate(16, "absent").await?;
        let mut recording = Recording::new(self.id());
        for (Bound { group, dispatch, binds }, offset) in all.iter().zip(offsets) {
            let mut buffers = Vec::new();
            for bind in binds {
                let buffer = match bind.value {
                    None => &dummy,
                    Some(id) => part(graph, places, id, dispatch.part)?,
                };
                buffers.push(buffer.storage(self.id())?);
            }
            let pipeline = self.pipeline(dispatch).await?;
            let uniform = (params.storage(self.id())?, offset, dispatch.params.len() as u64);
            let bindings = self.bind(dispatch.shader.name, &pipeline, uniform, &buffers).await;
            let bindings = bindings.context(|| format!("in {group:?}"))?;
            recording.push(group, Command::Dispatch { pipeline, bindings, workgroups: dispatch.workgroups });
        }
        self.check()?;
        Ok(recording)
    }

    /// The pipeline of a dispatch, compiled at first use.
    async fn pipeline(&self, dispatch: &Dispatch) -> Result<Arc<Pipeline>> {
        let key = PipelineKey::from(dispatch);
        if let Some(known) = self.pipelines().get(&key) {
            return Ok(known);
        }
        let Dispatch { shader, entry, constants, .. } = dispatch;
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(shader.source.into()),
        });
        let raw = self.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.name),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // Every kernel writes its workgroup memory before reading it, as `Shader` demands.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let layout = raw.get_bind_group_layout(0);
        if let Some(error) = self.unless_lost(scope.pop()).await? {
            self.alive()?;
            return Err(Error::Gpu(format!(
                "compiling {}.wgsl ({entry}): {}",
                shader.name,
                one_line(&error.to_string())
            )));
        }
        let pipeline = Arc::new(Pipeline { raw, layout });
        self.pipelines().keep(key, pipeline.clone());
        Ok(pipeline)
    }

    /// Binds `params` (a uniform, binding 0, at `offset` of its buffer) and `buffers` (bindings 1…) for `pipeline`.
    async fn bind(
        &self,
        what: &str,
        pipeline: &Pipeline,
        params: (&Storage, u64, u64),
        buffers: &[&Storage],
    ) -> Result<Bindings> {
        let (uniform, offset, size) = params;
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &uniform.0,
                offset,
                size: wgpu::BufferSize::new(size),
            }),
        }];
        entries.extend(
            buffers
                .iter()
                .zip(1..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.0.as_entire_binding() }),
        );
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(what),
            layout: &pipeline.layout,
            entries: &entries,
        });
        match self.unless_lost(scope.pop()).await? {
            None => {
                let bound = buffers.iter().copied().chain([uniform]).cloned();
                Ok(Bindings { group, _buffers: bound.collect() })
            }
            Some(error) => {
                self.alive()?;
                Err(Error::Gpu(format!("binding {what}: {}", one_line(&error.to_string()))))
            }
        }
    }

    /// All uniforms in one buffer, each at an aligned offset.
    async fn write_params(&self, dispatches: impl Iterator<Item = &Dispatch>) -> Result<(Buffer, Vec<u64>)> {
        let alignment = self.caps().uniform_alignment as usize;
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for dispatch in dispatches {
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
            offsets.push(bytes.len() as u64);
            bytes.extend_from_slice(&dispatch.params);
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let buffer = self.allocate(bytes.len() as u64, "params").await?;
        self.write(&buffer, 0, &bytes)?;
        Ok((buffer, offsets))
    }
}

/// The pass that a dispatch binds.
fn pass_of<'a>(op: &dyn Op, passes: &'a [Pass], dispatch: &Dispatch) -> Result<&'a Pass> {
    passes.get(dispatch.pass).ok_or_else(|| {
        let reason = format!("a dispatch binds pass {}, of which there are {}", dispatch.pass, passes.len());
        Error::shape(op.name(), reason)
    })
}

/// A weight that was split by rows must be bound part by part: an op that binds its first part alone would be wrong
/// without a word.
fn check_parts(graph: &Graph, places: &Places, op: &dyn Op, dispatches: &[Dispatch]) -> Result<()> {
    let bound = dispatches.iter().map(|dispatch| dispatch.part + 1).max().unwrap_or(0);
    for (id, _) in op.access() {
        let (value, parts) = (graph.get(id), places.parts(id).len());
        if matches!(value.element, Element::Packed(_)) && parts > bound {
            let reason = format!("lies in {parts} parts, of which {} binds {bound}", op.name());
            return Err(Error::tensor(&value.name, reason));
        }
    }
    Ok(())
}

/// The buffer of a value that is bound: of a packed weight the part that the dispatch asks for.
fn part<'a>(graph: &Graph, places: &'a Places, id: ValueId, part: usize) -> Result<&'a Buffer> {
    let value = graph.get(id);
    let part = if matches!(value.element, Element::Packed(_)) { part } else { 0 };
    places.parts(id).get(part).ok_or_else(|| Error::tensor(&value.name, format!("has no part {part}")))
}
