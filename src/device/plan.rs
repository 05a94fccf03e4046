//! From a graph to something that runs: its memory laid out, and the whole compiled by the device, once.

use std::sync::Arc;

use super::{Buffer, Device, Places, Program, Store};
use crate::Result;
use crate::graph::planner::{self, Layout};
use crate::graph::{Graph, Home, ValueId};

/// How transients get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Values that are never alive together share buffers.
    Shared,
    /// Every value keeps its own buffer, so that it can be read afterwards: for tests and for finding faults.
    Separate,
}

/// A compiled graph with its memory: ready to run, any number of times, without allocating.
#[derive(Debug)]
pub struct Plan {
    program: Box<dyn Program>,
    slots: Vec<Buffer>,
    slot_of: Vec<Option<usize>>,
    flops: u64,
}

impl Plan {
    /// Compiles `graph` for `device`, with its stored values found in `store`.
    pub async fn compile(device: &Device, graph: &Graph, store: &Store, memory: Memory) -> Result<Self> {
        let Layout { slots: sizes, slot_of } = planner::plan(graph, memory == Memory::Shared);
        let mut slots = Vec::new();
        for (slot, bytes) in sizes.iter().enumerate() {
            let what = slot_of.iter().position(|&s| s == Some(slot)).map(|i| graph.values()[i].name.as_str());
            slots.push(device.allocate(*bytes, what.unwrap_or("transient")).await?);
        }
        Self::new(device, graph, store, slots, slot_of).await
    }

    /// Compiles graphs that never run at once, and so share one pool of buffers, the n-th as large as any graph's n-th
    /// largest.
    pub async fn compile_pooled(device: &Device, graphs: &[Graph], store: &Store) -> Result<Vec<Self>> {
        let mut layouts: Vec<Layout> = graphs.iter().map(|graph| planner::plan(graph, true)).collect();
        let mut pool = Vec::new();
        for bytes in planner::pool(&mut layouts) {
            pool.push(device.allocate(bytes, "pool").await?);
        }
        let mut plans = Vec::new();
        for (graph, Layout { slots, slot_of }) in graphs.iter().zip(layouts) {
            plans.push(Self::new(device, graph, store, pool[..slots.len()].to_vec(), slot_of).await?);
        }
        Ok(plans)
    }

    async fn new(
        device: &Device,
        graph: &Graph,
        store: &Store,
        slots: Vec<Buffer>,
        slot_of: Vec<Option<usize>>,
    ) -> Result<Self> {
        let mut touched = vec![false; graph.values().len()];
        for (id, _) in graph.nodes().iter().flat_map(|node| node.op.access()) {
            touched[id.0 as usize] = true;
        }
        let mut places = Vec::new();
        for (index, value) in graph.values().iter().enumerate() {
            places.push(match value.home {
                Home::Transient => slot_of[index].map(|slot| slots[slot].clone()).into_iter().collect(),
                Home::Stored if touched[index] => store.resolve(graph, ValueId(index as u32))?.to_vec(),
                Home::Stored => Vec::new(),
            });
        }
        let program = device.compile(Arc::new(graph.clone()), Places::new(places)).await?;
        Ok(Self { program, slots, slot_of, flops: graph.flops() })
    }

    /// Runs it, without waiting.
    pub fn run(&self, device: &Device) -> Result<()> {
        device.run(&[self.program()])
    }

    /// Runs it to its end: see [`Executor::run_to_end`](super::Executor::run_to_end).
    pub async fn run_to_end(&self, device: &Device) -> Result<()> {
        device.run_to_end(&[self.program()]).await
    }

    /// What the device runs: for running it together with others, in one submission.
    pub fn program(&self) -> &dyn Program {
        &*self.program
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
}
