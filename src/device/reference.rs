//! A device without a driver: every op by its CPU reference. Slow, plain, and the judge of every other device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Buffer, Copy, Device, Executor, Places, Program};
use crate::graph::reference::HostValues;
use crate::graph::{Access, Caps, Element, Graph, ValueId};
use crate::memory::{Account, MemoryUse, Taken};
use crate::shared::{Work, lock};
use crate::tensor::Data;
use crate::{Error, Result, Tensor};

/// A device that runs every op by its CPU reference. Work is done by the time [`Executor::run`] returns.
#[derive(Clone, Debug)]
pub struct Reference {
    caps: Caps,
    memory: Account,
}

impl Default for Reference {
    fn default() -> Self {
        Self { caps: Caps::host("reference", String::new()), memory: Account::default() }
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

/// What lies behind its buffers.
#[derive(Debug)]
struct HostMemory(Mutex<Contents>, #[expect(dead_code, reason = "given back when dropped")] Taken);

#[derive(Debug)]
struct Contents {
    words: Vec<u32>,
    /// Counts the writes, so that a program reads again only what has changed.
    version: u64,
}

/// What it runs.
#[derive(Debug)]
enum HostProgram {
    Graph(HostGraph),
    Copies(Vec<Copy>),
}

#[derive(Debug)]
struct HostGraph {
    graph: Arc<Graph>,
    places: Places,
    /// Every value as it was last read or written: packed weights are decoded once.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    host: HostValues,
    versions: HashMap<ValueId, Vec<u64>>,
}

impl Program for HostProgram {}

impl Executor for Reference {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn allocate<'a>(&'a self, bytes: u64, what: &'a str) -> Work<'a, Buffer> {
        Box::pin(async move {
            self.caps.check_tensor(what, bytes)?;
            // As large as a GPU would make it.
            let size = bytes.next_multiple_of(16).max(16);
            let taken = self.memory.take(what, size)?;
            let contents = Contents { words: vec![0; size as usize / 4], version: 0 };
            Ok(Buffer::new(size, Arc::new(HostMemory(Mutex::new(contents), taken))))
        })
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        write(buffer, offset, bytes).map(|_| ())
    }

    fn read<'a>(&'a self, buffer: &'a Buffer, bytes: u64) -> Work<'a, Vec<u8>> {
        Box::pin(async move {
            let HostMemory(contents, _) = buffer.backing()?;
            let contents = lock(contents);
            let all: &[u8] = bytemuck::cast_slice(&contents.words);
            Ok(all[..(bytes as usize).min(all.len())].to_vec())
        })
    }

    fn compile<'a>(&'a self, graph: Arc<Graph>, places: Places) -> Work<'a, Box<dyn Program>> {
        Box::pin(async move {
            places.all().try_for_each(|buffer| buffer.backing::<HostMemory>().map(|_| ()))?;
            let graph = HostGraph { graph, places, known: Mutex::default() };
            let program: Box<dyn Program> = Box::new(HostProgram::Graph(graph));
            Ok(program)
        })
    }

    fn copies(&self, copies: Vec<Copy>) -> Result<Box<dyn Program>> {
        for copy in &copies {
            copy.from.backing::<HostMemory>()?;
            copy.to.backing::<HostMemory>()?;
        }
        Ok(Box::new(HostProgram::Copies(copies)))
    }

    fn run(&self, programs: &[&dyn Program]) -> Result<()> {
        for program in programs {
            let program: &dyn std::any::Any = *program;
            match program.downcast_ref() {
                Some(HostProgram::Graph(graph)) => graph.run()?,
                Some(HostProgram::Copies(copies)) => copies.iter().try_for_each(copy)?,
                None => return Err(Error::NotThisDevice { what: "a program".into() }),
            }
        }
        Ok(())
    }

    fn memory(&self) -> MemoryUse {
        self.memory.used()
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
        let parts = self.places.parts(id).iter().map(Buffer::backing).collect::<Result<Vec<&HostMemory>>>()?;
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
        let Some(buffer) = self.places.parts(id).first() else { return Ok(()) };
        let bytes: &[u8] = match self.graph.get(id).element {
            Element::U32 => bytemuck::cast_slice(known.host.u32(id)),
            _ => bytemuck::cast_slice(known.host.f32(id)),
        };
        let version = write(buffer, 0, bytes)?;
        known.versions.insert(id, vec![version]);
        Ok(())
    }
}

/// Overwrites part of a buffer, and gives its new version.
fn write(buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<u64> {
    let HostMemory(contents, _) = buffer.backing()?;
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

fn copy(Copy { from, offset, to, bytes }: &Copy) -> Result<()> {
    let HostMemory(contents, _) = from.backing()?;
    let range = *offset as usize..(offset + bytes) as usize;
    let copied = bytemuck::cast_slice::<u32, u8>(&lock(contents).words).get(range).map(<[u8]>::to_vec);
    let copied =
        copied.ok_or_else(|| Error::tensor("of the reference device", "ends before what is copied from it"))?;
    write(to, 0, &copied).map(|_| ())
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::device::{Memory, Plan, Store};
    use crate::graph::Home;
    use crate::kernels::{Activation, Linear, Norm, NormKind, ReadRows, WriteRows, linear, norm, residual};
    use crate::testing::{Case, gpu};
    use crate::weights::Format;

    /// x += linear(norm(x)), twice: a value updated in place, transients that share memory, packed weights.
    fn blocks() -> (Graph, HashMap<String, Tensor>) {
        let mut case = Case::new();
        let x = case.input("x", &[2, 5, 12]);
        for block in 0..2 {
            let weight = case.weight(&format!("w{block}"), &[12, 12], Format::Int8);
            let options = Norm { kind: NormKind::Layer, eps: 1e-6, ..Norm::default() };
            let y = norm(&mut case.graph, x, options).unwrap();
            let product = Linear { weight, bias: None, activation: Activation::GeluTanh, rows: ReadRows::All };
            let y = linear(&mut case.graph, y, product).unwrap();
            residual(&mut case.graph, x, y, None, WriteRows::All).unwrap();
        }
        (case.graph, case.stored)
    }

    async fn load(device: &Device, graph: &Graph, stored: &HashMap<String, Tensor>) -> Store {
        let mut store = Store::new();
        for value in graph.values().iter().filter(|value| value.home == Home::Stored) {
            let tensor = &stored[&value.name];
            store.allocate(device, &value.name, &value.shape, value.element).await.unwrap();
            match value.element {
                Element::Packed(format) => {
                    let mut words = Vec::new();
                    format.encode_rows(tensor.f32(), value.matrix().1, &mut words).unwrap();
                    store.write_rows(device, &value.name, 0, &words).unwrap();
                }
                _ => store.write(device, &value.name, tensor.bytes()).unwrap(),
            }
        }
        store
    }

    #[test]
    fn the_same_graph_gives_the_same_on_both_devices() {
        let (graph, stored) = blocks();
        let run = |device: Device| {
            block_on(async {
                let store = load(&device, &graph, &stored).await;
                let plan = Plan::compile(&device, &graph, &store, Memory::Shared).await.unwrap();
                let kept = device.allocate(store.buffer("x").unwrap().size(), "kept").await.unwrap();
                let copy = Copy { from: store.buffer("x").unwrap().clone(), offset: 0, to: kept.clone(), bytes: 480 };
                let copies = device.copies(vec![copy]).unwrap();
                // What it was after one run is kept; then it goes on with another weight.
                device.run(&[plan.program(), &*copies]).unwrap();
                let mut words = Vec::new();
                Format::Int8.encode_rows(&[0.25; 144], 12, &mut words).unwrap();
                store.write_rows(&device, "w1", 0, &words).unwrap();
                plan.run(&device).unwrap();
                device.wait().await.unwrap();
                let once: Vec<f32> = bytemuck::pod_collect_to_vec(&device.read(&kept, 480).await.unwrap());
                (once, store.read(&device, "x").await.unwrap())
            })
        };
        let (found, expected) = (run(gpu().into()), run(Reference::new().into()));
        assert!(crate::tensor::relative_l2(&found.0, &expected.0) < 1e-6);
        assert!(crate::tensor::relative_l2(found.1.f32(), expected.1.f32()) < 1e-6);
        assert!(crate::tensor::relative_l2(&found.0, found.1.f32()) > 1e-2, "the second run changed something");
    }

    #[test]
    fn what_another_device_made_is_refused() {
        let (graph, stored) = blocks();
        let (own, other) = (Device::from(Reference::new()), Device::from(gpu()));
        block_on(async {
            for (own, other) in [(&own, &other), (&other, &own)] {
                let store = load(own, &graph, &stored).await;
                let buffer = store.buffer("x").unwrap();
                let plan = Plan::compile(own, &graph, &store, Memory::Shared).await.unwrap();
                let copy = Copy { from: buffer.clone(), offset: 0, to: buffer.clone(), bytes: 16 };
                let refused = [
                    other.write(buffer, 0, &[0; 16]).unwrap_err(),
                    other.read(buffer, 16).await.unwrap_err(),
                    other.copies(vec![copy]).unwrap_err(),
                    plan.run(other).unwrap_err(),
                    Plan::compile(other, &graph, &store, Memory::Shared).await.unwrap_err(),
                ];
                for error in refused {
                    assert!(matches!(error.root(), Error::NotThisDevice { .. }), "{error}");
                }
            }
        });
        assert!(other.gpu("a texture").is_ok());
        let error = own.gpu("a texture").unwrap_err().to_string();
        assert_eq!(error, "a texture needs a GPU; this device is reference");
    }

    #[test]
    fn answers_move_between_threads() {
        fn movable<T: Send>(answer: T) -> T {
            answer
        }
        let (graph, stored) = blocks();
        let device = Device::from(gpu());
        let store = block_on(load(&device, &graph, &stored));
        let plan = movable(Plan::compile(&device, &graph, &store, Memory::Shared));
        std::thread::scope(|scope| scope.spawn(|| block_on(plan).unwrap().run(&device).unwrap()).join().unwrap());
    }
}
