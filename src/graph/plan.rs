//! From a graph to something that runs: pipelines compiled, memory laid out, bind groups made, once.

use super::planner::{self, Layout};
use super::{Binding, Dispatch, Graph, Home, Op, Store, ValueId};
use crate::gpu::{Buffer, Command, Gpu, Recording};
use crate::{Context, Error, Result};

/// How transients get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Values that are never alive together share buffers.
    Shared,
    /// Every value keeps its own buffer, so that it can be read afterwards: for tests and for finding faults.
    Separate,
}

/// A compiled graph. Encoding it allocates nothing.
#[derive(Debug)]
pub struct Plan {
    /// What the device will do.
    pub recording: Recording,
    slots: Vec<Buffer>,
    slot_of: Vec<Option<usize>>,
    flops: u64,
}

impl Plan {
    /// Compiles `graph` for `gpu`, with its stored values found in `store`.
    pub async fn compile(gpu: &Gpu, graph: &Graph, store: &Store, memory: Memory) -> Result<Self> {
        let Layout { slots: sizes, slot_of } = planner::plan(graph, memory == Memory::Shared);
        let mut slots = Vec::new();
        for (slot, bytes) in sizes.iter().enumerate() {
            let what = slot_of.iter().position(|&s| s == Some(slot)).map(|i| graph.values()[i].name.as_str());
            slots.push(gpu.buffer(*bytes, what.unwrap_or("transient")).await?);
        }
        Self::record(gpu, graph, store, slots, slot_of).await
    }

    /// Compiles graphs that never run at once, and so share one pool of buffers, the n-th as large as any graph's n-th largest.
    pub async fn compile_pooled(gpu: &Gpu, graphs: &[Graph], store: &Store) -> Result<Vec<Self>> {
        let mut layouts: Vec<Layout> = graphs.iter().map(|graph| planner::plan(graph, true)).collect();
        let mut pool = Vec::new();
        for bytes in planner::pool(&mut layouts) {
            pool.push(gpu.buffer(bytes, "pool").await?);
        }
        let mut plans = Vec::new();
        for (graph, Layout { slots, slot_of }) in graphs.iter().zip(layouts) {
            plans.push(Self::record(gpu, graph, store, pool[..slots.len()].to_vec(), slot_of).await?);
        }
        Ok(plans)
    }

    async fn record(
        gpu: &Gpu,
        graph: &Graph,
        store: &Store,
        slots: Vec<Buffer>,
        slot_of: Vec<Option<usize>>,
    ) -> Result<Self> {
        let mut plan = Self { recording: Recording::default(), slots, slot_of, flops: graph.flops() };

        let mut dispatches = Vec::new();
        for node in graph.nodes() {
            for dispatch in node.op.record(graph, gpu.caps())? {
                check_declared(graph, node.op.as_ref(), &dispatch)?;
                dispatches.push((node.group.as_str(), dispatch));
            }
        }
        let (params, offsets) = write_params(gpu, dispatches.iter().map(|(_, d)| d)).await?;
        let dummy = gpu.buffer(16, "absent").await?;
        for ((group, dispatch), offset) in dispatches.iter().zip(offsets) {
            let mut buffers = Vec::new();
            for binding in &dispatch.bindings {
                buffers.push(match *binding {
                    Binding::Absent => &dummy,
                    Binding::Value(id) => plan.part(graph, store, id, 0)?,
                    Binding::Part(id, part) => plan.part(graph, store, id, part)?,
                });
            }
            let name = dispatch.shader.stem;
            let pipeline = gpu.pipeline(dispatch.shader, dispatch.entry, &dispatch.constants).await?;
            let uniform = (&params, offset, dispatch.params.len() as u64);
            let bindings = gpu.bind(name, &pipeline, uniform, &buffers).await.context(|| format!("in {group:?}"))?;
            plan.recording.push(group, Command::Dispatch { pipeline, bindings, workgroups: dispatch.workgroups });
        }
        gpu.check()?;
        Ok(plan)
    }

    /// Floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// Bytes of transient memory.
    pub fn transient_bytes(&self) -> u64 {
        self.slots.iter().map(Buffer::size).sum()
    }

    /// The buffer a transient lies in. Its contents last only with [`Memory::Separate`].
    pub fn transient(&self, id: ValueId) -> Option<&Buffer> {
        self.slot_of.get(id.0 as usize).copied().flatten().map(|slot| &self.slots[slot])
    }

    fn part<'a>(&'a self, graph: &Graph, store: &'a Store, id: ValueId, part: usize) -> Result<&'a Buffer> {
        let value = graph.get(id);
        let found = match value.home {
            Home::Transient => self.transient(id),
            Home::Stored => store.resolve(graph, id)?.get(part),
        };
        found.ok_or_else(|| Error::tensor(&value.name, format!("has no part {part}")))
    }
}

/// An op that binds a value it does not declare would be planned wrongly, and show as a wrong picture.
fn check_declared(graph: &Graph, op: &dyn Op, dispatch: &Dispatch) -> Result<()> {
    let declared = op.access();
    for binding in &dispatch.bindings {
        if let Binding::Value(id) | Binding::Part(id, _) = *binding
            && !declared.iter().any(|&(known, _)| known == id)
        {
            return Err(Error::shape(op.name(), format!("binds {} without declaring it", graph.get(id).name)));
        }
    }
    Ok(())
}

/// All uniforms in one buffer, each at an aligned offset.
async fn write_params<'a>(gpu: &Gpu, dispatches: impl Iterator<Item = &'a Dispatch>) -> Result<(Buffer, Vec<u64>)> {
    let alignment = gpu.caps().uniform_alignment as usize;
    let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
    for dispatch in dispatches {
        bytes.resize(bytes.len().next_multiple_of(alignment), 0);
        offsets.push(bytes.len() as u64);
        bytes.extend_from_slice(&dispatch.params);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let buffer = gpu.buffer(bytes.len() as u64, "params").await?;
    gpu.write(&buffer, 0, &bytes);
    Ok((buffer, offsets))
}
