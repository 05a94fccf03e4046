//! A device without a driver: every op by its CPU reference. Slow, plain, and the judge of every other device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::buffer::zeroed_words;
use super::{Buffer, Copy, Device, DeviceId, Executor, Places, Program};
use crate::graph::reference::HostValues;
use crate::graph::{Access, Caps, Element, Graph, ValueId};
use crate::memory::{Account, MemoryUse, Taken};
use crate::shared::{Work, lock};
use crate::tensor::Data;
use crate::{Error, Result, Tensor};

/// A device that runs every op by its CPU reference. Work is done by the time [`Executor::run`] returns.
#[derive(Clone, Debug)]
pub struct Reference {
    id: DeviceId,
    caps: Caps,
    memory: Account,
}

impl Default for Reference {
    fn default() -> Self {
        let (id, caps) = (DeviceId::unique(), Caps::host("reference", String::new()));
        Self { id, caps, memory: Account::default() }
    }
}

impl Reference {
    /// The reference device, without limits on the size of a tensor.
    pub fn new() -> Self {
        Self::default()
    }
}

impl From<&Reference> for Device {
    fn from(reference: &Reference) -> Self {
        Self::new(reference.clone())
    }
}

impl From<Reference> for Device {
    fn from(reference: Reference) -> Self {
        Self::new(reference)
    }
}

/// What lies behind its buffers. Cloning shares it.
#[derive(Clone, Debug)]
struct HostMemory(Arc<Mutex<Contents>>, #[expect(dead_code, reason = "given back when dropped")] Arc<Taken>);

#[derive(Debug)]
struct Contents {
    words: Vec<u32>,
    /// Counts the writes, so that a program reads again only what has changed.
    version: u64,
}

/// What it runs.
#[derive(Debug)]
struct HostProgram {
    device: DeviceId,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Graph(HostGraph),
    Copies(Vec<Copy>),
}

#[derive(Debug)]
struct HostGraph {
    graph: Arc<Graph>,
    /// Where each value lies, by its [`ValueId`].
    places: Vec<Vec<HostMemory>>,
    /// Every value as it was last read or written: packed weights are decoded once.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    host: HostValues,
    versions: HashMap<ValueId, Vec<u64>>,
}

impl Program for HostProgram {
    fn device(&self) -> DeviceId {
        self.device
    }
}

impl Executor for Reference {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn allocate<'a>(&'a self, bytes: u64, what: &'a str) -> Work<'a, Buffer> {
        Box::pin(async move {
            self.caps.check_tensor(what, bytes)?;
            // As large as a GPU would make it.
            let size = bytes.next_multiple_of(16).max(16);
            let taken = Arc::new(self.memory.take(what, size)?);
            let contents = Contents { words: zeroed_words(size, what)?, version: 0 };
            Ok(Buffer::new(self.id, size, Arc::new(HostMemory(Arc::new(Mutex::new(contents)), taken))))
        })
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let memory = buffer.backing(self.id)?;
        buffer.check_range(offset, bytes.len() as u64)?;
        write(memory, offset, bytes).map(|_| ())
    }

    fn read<'a>(&'a self, buffer: &'a Buffer, bytes: u64) -> Work<'a, Vec<u8>> {
        Box::pin(async move {
            let HostMemory(contents, _) = buffer.backing(self.id)?;
            let contents = lock(contents);
            let all: &[u8] = bytemuck::cast_slice(&contents.words);
            Ok(all[..(bytes as usize).min(all.len())].to_vec())
        })
    }

    fn compile<'a>(&'a self, graph: Arc<Graph>, places: Places) -> Work<'a, Box<dyn Program>> {
        Box::pin(async move {
            let own = |part: &Buffer| part.backing::<HostMemory>(self.id).cloned();
            let parts = |index| places.parts(ValueId(index)).iter().map(own).collect();
            let places = (0..graph.values().len() as u32).map(parts).collect::<Result<_>>()?;
            let kind = Kind::Graph(HostGraph { graph, places, known: Mutex::default() });
            let program: Box<dyn Program> = Box::new(HostProgram { device: self.id, kind });
            Ok(program)
        })
    }

    fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>> {
        for copy in &copies {
            copy.from.backing::<HostMemory>(self.id)?;
            copy.to.backing::<HostMemory>(self.id)?;
            copy.check()?;
        }
        Ok(Box::new(HostProgram { device: self.id, kind: Kind::Copies(copies) }))
    }

    fn run(&self, programs: &[&dyn Program]) -> Result<()> {
        for program in programs {
            let HostProgram { kind, .. } = program.of(self.id)?;
            match kind {
                Kind::Graph(graph) => graph.run()?,
                Kind::Copies(copies) => copies.iter().try_for_each(|each| copy(self.id, each))?,
            }
        }
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        self.memory.used()
    }

    fn set_max_memory(&self, bytes: Option<u64>) {
        self.memory.limit(bytes);
    }

    fn flush<'a>(&'a self) -> Work<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn wait<'a>(&'a self) -> Work<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl HostGraph {
    fn parts(&self, id: ValueId) -> &[HostMemory] {
        &self.places[id.0 as usize]
    }

    /// Runs every op in order; what it writes goes back to memory at once, as another value may share the buffer.
    fn run(&self) -> Result<()> {
        let mut known = lock(&self.known);
        for node in self.graph.nodes() {
            let access = node.op.access();
            for &(id, how) in &access {
                if how != Access::Write {
                    self.load(&mut known, id)?;
                }
            }
            node.op.reference(&self.graph, &mut known.host);
            for (id, how) in access {
                if how != Access::Read {
                    self.save(&mut known, id)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a value, unless its memory is as it was.
    fn load(&self, known: &mut Known, id: ValueId) -> Result<()> {
        let value = self.graph.get(id);
        let parts = self.parts(id);
        let versions: Vec<u64> = parts.iter().map(|HostMemory(contents, _)| lock(contents).version).collect();
        if parts.is_empty() || known.versions.get(&id) == Some(&versions) {
            return Ok(());
        }
        let row_words = (value.bytes() / 4) as usize / value.matrix().0.max(1);
        let mut left = (value.bytes() / 4) as usize;
        let mut words = Vec::with_capacity(left);
        for HostMemory(contents, _) in parts {
            // Behind the last row a buffer is filled up.
            let contents = lock(contents);
            let whole = contents.words.len() / row_words.max(1) * row_words;
            let most = if matches!(value.element, Element::Packed(_)) { whole } else { contents.words.len() };
            words.extend_from_slice(&contents.words[..left.min(most)]);
            left -= left.min(most);
        }
        let data = match value.element {
            Element::U32 => Data::U32(words),
            Element::F32 => Data::F32(words.into_iter().map(f32::from_bits).collect()),
            Element::Packed(format) => Data::F32(format.decode_rows(&words, value.matrix().1)),
        };
        known.host.insert(id, Tensor { shape: value.shape.clone(), data });
        known.versions.insert(id, versions);
        Ok(())
    }

    /// Writes a value back.
    fn save(&self, known: &mut Known, id: ValueId) -> Result<()> {
        let Some(memory) = self.parts(id).first() else { return Ok(()) };
        let bytes: &[u8] = match self.graph.get(id).element {
            Element::U32 => bytemuck::cast_slice(known.host.u32(id)),
            _ => bytemuck::cast_slice(known.host.f32(id)),
        };
        let version = write(memory, 0, bytes)?;
        known.versions.insert(id, vec![version]);
        Ok(())
    }
}

/// Overwrites part of memory, and gives its new version.
fn write(HostMemory(contents, _): &HostMemory, offset: u64, bytes: &[u8]) -> Result<u64> {
    let mut contents = lock(contents);
    let all: &mut [u8] = bytemuck::cast_slice_mut(&mut contents.words);
    let size = all.len();
    let range = offset as usize..offset as usize + bytes.len();
    let Some(part) = all.get_mut(range) else {
        let reason = format!("{} bytes at {offset} do not fit its {size}", bytes.len());
        return Err(Error::tensor("of the reference device", reason));
    };
    part.copy_from_slice(bytes);
    contents.version += 1;
    Ok(contents.version)
}

fn copy(device: DeviceId, Copy { from, offset, to, bytes }: &Copy) -> Result<()> {
    let HostMemory(contents, _) = from.backing(device)?;
    let range = *offset as usize..(offset + bytes) as usize;
    let copied = bytemuck::cast_slice::<u32, u8>(&lock(contents).words).get(range).map(<[u8]>::to_vec);
    let copied =
        copied.ok_or_else(|| Error::tensor("of the reference device", "ends before what is copied from it"))?;
    write(to.backing(device)?, 0, &copied).map(|_| ())
}
