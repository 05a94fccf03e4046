//! From a graph to a recording: pipelines compiled, uniforms written, bind groups made, once.
//!
//! The uniform is bound at an offset that is chosen when a dispatch is encoded: the portions of a dispatch differ in
//! nothing but their first workgroup (see `slice.rs`).

use std::ops::Range;

use super::Gpu;
use super::buffer::Storage;
use super::pipeline::{Pipeline, Wanted};
use super::recording::{Bindings, Command, Portion, Recording, Run};
use crate::device::{Buffer, Places};
use crate::graph::{Bind, Dispatch, Element, Graph, Node, Op, Pass, Target, ValueId};
use crate::{Error, Result};

/// A dispatch, and what it binds.
struct Bound<'a> {
    group: &'a str,
    dispatch: Dispatch,
    binds: Vec<Bind>,
    /// What it is likely to cost.
    cost: f64,
    /// Whether its kernel may run without checks.
    unchecked: bool,
}

impl Bound<'_> {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { dispatch: &self.dispatch, binds: &self.binds, unchecked: self.unchecked }
    }
}

impl Gpu {
    /// Records every op of `graph`, with its values in the given places.
    pub(super) async fn record(&self, graph: &Graph, places: &Places) -> Result<Recording> {
        let mut all = Vec::new();
        for node in graph.nodes() {
            let passes = node.op.passes();
            let dispatches = node.op.record(graph, self.caps())?;
            check_parts(graph, places, node.op.as_ref(), &dispatches)?;
            let heavy = |dispatch: &Dispatch| if dispatch.light { 0.0 } else { count(dispatch.workgroups) as f64 };
            let flops = node.op.flops(graph) as f64 / dispatches.iter().map(heavy).sum::<f64>().max(1.0);
            let unchecked = self.leaves_out_checks(graph, node);
            for dispatch in dispatches {
                self.caps().check_workgroups(node.op.name(), dispatch.workgroups)?;
                let binds = pass_of(node.op.as_ref(), &passes, &dispatch)?.binds().to_vec();
                let flops = flops * heavy(&dispatch);
                let cost = self.rates().cost(flops, bound_bytes(graph, places, &binds, dispatch.workspace));
                all.push(Bound { group: &node.group, dispatch, binds, cost, unchecked });
            }
        }
        let (params, portions) = self.write_params(&all).await?;
        let dummy = self.allocate(16, "absent").await?;
        // Dispatches run one after the other, so one workspace serves them all. Recordings do not share it: a host may
        // run another one between two slices of this.
        let workspace = match all.iter().map(|bound| bound.dispatch.workspace).max() {
            None | Some(0) => dummy.clone(),
            Some(bytes) => self.allocate(bytes, "workspace").await?,
        };
        let wanted: Vec<_> = all.iter().map(Bound::wanted).collect();
        let pipelines = self.pipelines_of(&wanted).await?;
        let mut buffers = Vec::new();
        for Bound { dispatch, binds, .. } in &all {
            let storage = binds.iter().map(|bind| {
                let buffer = match bind.target {
                    Target::Absent => &dummy,
                    Target::Workspace => &workspace,
                    Target::Value(id) => self.part(graph, places, id, dispatch.part)?,
                };
                buffer.storage(self.id())
            });
            buffers.push(storage.collect::<Result<Vec<&Storage>>>()?);
        }
        let uniform = params.storage(self.id())?;
        let bind = |number: usize| {
            let Dispatch { shader, params, .. } = &all[number].dispatch;
            self.bind(shader.name, &pipelines[number], (uniform, params.len() as u64), &buffers[number])
        };
        let describe = |number: usize| {
            let Bound { group, dispatch, .. } = &all[number];
            format!("in {group:?}: binding {}", dispatch.shader.name)
        };
        let bindings = self.in_one_scope(all.len(), bind, describe).await?;
        let mut recording = Recording::new(self.id());
        for (((bound, portions), pipeline), bindings) in all.iter().zip(portions).zip(pipelines).zip(bindings) {
            let Dispatch { shader, entry, workgroups, .. } = bound.dispatch;
            let (kernel, cost) = ((shader.name, entry), bound.cost);
            recording.push(bound.group, Command::Run(Run { pipeline, bindings, workgroups, portions, cost, kernel }));
        }
        self.check()?;
        Ok(recording)
    }

    /// Compiles the pipelines of some ops.
    pub(super) async fn warm(&self, graph: &Graph, ops: Range<usize>) -> Result<()> {
        let mut all = Vec::new();
        for node in graph.nodes().get(ops).unwrap_or_default() {
            let (passes, unchecked) = (node.op.passes(), self.leaves_out_checks(graph, node));
            for dispatch in node.op.record(graph, self.caps())? {
                let binds = pass_of(node.op.as_ref(), &passes, &dispatch)?.binds().to_vec();
                all.push((dispatch, binds, unchecked));
            }
        }
        let wanted = all.iter().map(|(dispatch, binds, unchecked)| Wanted { dispatch, binds, unchecked: *unchecked });
        self.pipelines_of(&wanted.collect::<Vec<_>>()).await.map(drop)
    }

    /// Whether kernels of an op run without checks. Of a value without elements they would read its first row.
    fn leaves_out_checks(&self, graph: &Graph, node: &Node) -> bool {
        node.unchecked && !self.checks() && node.op.access().iter().all(|&(id, _)| !graph.get(id).is_empty())
    }

    /// The buffer of a value that is bound: of a packed weight the part that the dispatch asks for. Kernels without
    /// checks rely on its size.
    fn part<'a>(&self, graph: &Graph, places: &'a Places, id: ValueId, part: usize) -> Result<&'a Buffer> {
        let value = graph.get(id);
        let (rows, _) = value.matrix();
        let packed = matches!(value.element, Element::Packed(_));
        let (part, bytes) = match packed {
            false => (0, value.bytes()),
            true => {
                let row_bytes = value.bytes() / (rows as u64).max(1);
                let ranges = self.caps().split_rows(rows, row_bytes)?;
                (part, ranges.get(part).map_or(0, |range| range.len() as u64 * row_bytes))
            }
        };
        let buffer = places.parts(id).get(part);
        let buffer = buffer.ok_or_else(|| Error::tensor(&value.name, format!("has no part {part}")))?;
        if buffer.size() < bytes {
            let reason = format!("has {bytes} bytes, its buffer {}", buffer.size());
            return Err(Error::tensor(&value.name, reason));
        }
        Ok(buffer)
    }

    /// Binds `params` (binding 0: the buffer of uniforms, and the size of one) and `buffers` (bindings 1…) for
    /// `pipeline`.
    fn bind(&self, what: &str, pipeline: &Pipeline, params: (&Storage, u64), buffers: &[&Storage]) -> Bindings {
        let (uniform, size) = params;
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &uniform.0,
                offset: 0,
                size: wgpu::BufferSize::new(size),
            }),
        }];
        entries.extend(
            buffers
                .iter()
                .zip(1..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.0.as_entire_binding() }),
        );
        #[cfg(any(test, feature = "testing"))]
        entries.extend(self.pipelines().watch.as_ref().map(super::watch::Watch::entry));
        let group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(what),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let bound = buffers.iter().copied().chain([uniform]).cloned();
        Bindings { group, _buffers: bound.collect() }
    }

    /// The uniforms of all portions of all dispatches in one buffer, each at an aligned offset.
    async fn write_params(&self, all: &[Bound<'_>]) -> Result<(Buffer, Vec<Vec<Portion>>)> {
        let alignment = self.caps().uniform_alignment as usize;
        let (mut bytes, mut portions) = (Vec::new(), Vec::new());
        for Bound { dispatch, cost, .. } in all {
            let firsts = self.firsts(dispatch, *cost);
            portions.push(Vec::with_capacity(firsts.len()));
            for first in firsts {
                bytes.resize(bytes.len().next_multiple_of(alignment), 0);
                let at = bytes.len();
                bytes.extend_from_slice(&dispatch.params);
                if first > 0 {
                    // `base` is the first field: see `Dispatch::divisible`.
                    bytes[at..at + 4].copy_from_slice(&first.to_le_bytes());
                }
                portions.last_mut().into_iter().for_each(|all| all.push(Portion { first, params: at as u32 }));
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let buffer = self.allocate(bytes.len() as u64, "params").await?;
        self.write(&buffer, 0, &bytes)?;
        Ok((buffer, portions))
    }

    /// The first workgroup of each portion of a dispatch.
    fn firsts(&self, dispatch: &Dispatch, cost: f64) -> Vec<u32> {
        let workgroups = count(dispatch.workgroups);
        let (Ok(workgroups), true) = (u32::try_from(workgroups), dispatch.divisible && dispatch.params.len() >= 4)
        else {
            return vec![0];
        };
        let portions = self.rates().portions(cost, workgroups, self.caps().max_workgroups);
        (0..portions).map(|n| (u64::from(workgroups) * u64::from(n) / u64::from(portions)) as u32).collect()
    }
}

/// Workgroups in all.
fn count(workgroups: [u32; 3]) -> u64 {
    workgroups.into_iter().fold(1, |count: u64, along| count.saturating_mul(along.into()))
}

/// Bytes that a dispatch reads and writes, if it touches all of what it binds.
fn bound_bytes(graph: &Graph, places: &Places, binds: &[Bind], workspace: u64) -> u64 {
    let bytes = binds.iter().map(|bind| match bind.target {
        Target::Value(id) => graph.get(id).bytes() / places.parts(id).len().max(1) as u64,
        Target::Workspace => workspace,
        Target::Absent => 0,
    });
    bytes.fold(0, u64::saturating_add)
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
