//! What the processor runs: a graph op by op, or copies.

use std::sync::Arc;

use crate::device::{Copy, DeviceId, Places, Program};
use crate::graph::host::{Budget, Host, Memory, Pool};
use crate::graph::{Graph, ValueId};
use crate::{Context, Error, Result};

/// A program of the processor.
#[derive(Debug)]
pub struct HostProgram {
    device: DeviceId,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A graph, and where each of its values lies.
    Graph(Arc<Graph>, Vec<Option<Memory>>),
    Copies(Vec<HostCopy>),
}

#[derive(Debug)]
struct HostCopy {
    from: Memory,
    offset: u64,
    to: Memory,
    bytes: u64,
}

impl Program for HostProgram {
    fn device(&self) -> DeviceId {
        self.device
    }
}

impl HostProgram {
    /// A graph with its values in the given places.
    pub fn graph(device: DeviceId, graph: Arc<Graph>, places: &Places) -> Result<Self> {
        places.all().try_for_each(|buffer| buffer.backing::<Memory>(device).map(|_| ()))?;
        let place = |index: usize| match places.parts(ValueId(index as u32)) {
            [] => Ok(None),
            [buffer] => buffer.backing::<Memory>(device).map(|memory| Some(memory.clone())),
            parts => {
                let reason = format!("lies in {} parts; the processor takes a tensor whole", parts.len());
                Err(Error::tensor(&graph.values()[index].name, reason))
            }
        };
        let memory = (0..graph.values().len()).map(place).collect::<Result<_>>()?;
        Ok(Self { device, kind: Kind::Graph(graph, memory) })
    }

    /// Copies between buffers.
    pub fn copies(device: DeviceId, copies: &[Copy]) -> Result<Self> {
        let copy = |copy: &Copy| {
            let [from, to] = [&copy.from, &copy.to].map(|buffer| buffer.backing::<Memory>(device));
            copy.check()?;
            Ok(HostCopy { from: from?.clone(), offset: copy.offset, to: to?.clone(), bytes: copy.bytes })
        };
        Ok(Self { device, kind: Kind::Copies(copies.iter().map(copy).collect::<Result<_>>()?) })
    }

    /// Runs it from op `at` on, as far as `more` allows between two ops; whether it is done. `at` is then where to go
    /// on.
    pub fn run(&self, pool: &Pool, budget: &Budget, at: &mut usize, more: impl Fn() -> bool) -> Result<bool> {
        match &self.kind {
            Kind::Graph(graph, memory) => {
                let host = Host::new(graph, memory, pool, budget);
                for node in &graph.nodes()[*at..] {
                    node.op.compute(graph, &host).context(|| node.group.clone())?;
                    *at += 1;
                    if *at < graph.nodes().len() && !more() {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Kind::Copies(copies) => {
                copies.iter().try_for_each(|HostCopy { from, offset, to, bytes }| {
                    let copied = read(from, *offset, *bytes)?;
                    write(to, 0, &copied)
                })?;
                Ok(true)
            }
        }
    }
}

/// Copies bytes out of memory.
pub fn read(memory: &Memory, offset: u64, bytes: u64) -> Result<Vec<u8>> {
    let words = memory.try_read().ok_or_else(busy)?;
    let part = bytemuck::cast_slice::<u32, u8>(&words).get(offset as usize..(offset + bytes) as usize);
    let part = part.ok_or_else(|| {
        Error::tensor("of the processor", format!("{bytes} bytes at {offset} lie outside its {}", 4 * words.len()))
    })?;
    let mut copied = Vec::new();
    let room = copied.try_reserve_exact(part.len());
    room.map_err(|_| Error::OutOfMemory(format!("reading back {bytes} bytes")))?;
    copied.extend_from_slice(part);
    Ok(copied)
}

/// Overwrites part of memory.
pub fn write(memory: &Memory, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut words = memory.try_write().ok_or_else(busy)?;
    let size = 4 * words.len();
    let part = bytemuck::cast_slice_mut::<u32, u8>(&mut words).get_mut(offset as usize..offset as usize + bytes.len());
    let part = part.ok_or_else(|| {
        Error::tensor("of the processor", format!("{} bytes at {offset} do not fit its {size}", bytes.len()))
    })?;
    part.copy_from_slice(bytes);
    Ok(())
}

/// A device does one thing at a time, and another device does not take its buffers.
fn busy() -> Error {
    Error::tensor("of the processor", "is in use by two at once")
}
