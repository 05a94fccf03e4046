//! Named tensors on a device that outlive a plan: weights, and the state of a run.

use std::collections::HashMap;

use super::{Buffer, Device};
use crate::graph::{Element, Graph, Home, ValueId};
use crate::size::{bytes, elements};
use crate::{Error, Result, Tensor};

/// Tensors by name. Graphs refer to them by [`Graph::stored`].
#[derive(Clone, Debug, Default)]
pub struct Store {
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// One buffer, or several where a weight was split by rows.
    parts: Vec<Buffer>,
    shape: Vec<usize>,
    element: Element,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds zeroed memory for a value of this shape: one buffer, or for packed weights one per part.
    pub async fn allocate(&mut self, device: &Device, name: &str, shape: &[usize], element: Element) -> Result<()> {
        let mut graph = Graph::new();
        let id = graph.stored(name, shape, element);
        let value = graph.get(id);
        let mut parts = Vec::new();
        if let Element::Packed(_) = element {
            let (rows, _) = value.matrix();
            let row_bytes = value.bytes() / (rows as u64).max(1);
            for range in device.caps().split_rows(rows, row_bytes)? {
                parts.push(device.allocate(range.len() as u64 * row_bytes, name).await?);
            }
        } else {
            parts.push(device.allocate(value.bytes(), name).await?);
        }
        self.entries.insert(name.to_owned(), Entry { parts, shape: shape.to_vec(), element });
        Ok(())
    }

    /// Adds zeroed memory for every unpacked stored value of `graph` that is not here yet. Weights must be.
    pub async fn allocate_missing(&mut self, device: &Device, graph: &Graph) -> Result<()> {
        for value in graph.values() {
            let packed = matches!(value.element, Element::Packed(_));
            if value.home == Home::Stored && !packed && !self.entries.contains_key(&value.name) {
                self.allocate(device, &value.name, &value.shape, value.element).await?;
            }
        }
        Ok(())
    }

    /// Whether there is an entry of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Adds a tensor with its contents, which have to fill its shape.
    pub async fn insert(&mut self, device: &Device, name: &str, tensor: &Tensor) -> Result<()> {
        if tensor.data.len() as u64 != elements(&tensor.shape) {
            let reason = format!("{} values cannot fill the shape {:?}", tensor.data.len(), tensor.shape);
            return Err(Error::tensor(name, reason));
        }
        let element = match tensor.data {
            crate::tensor::Data::F32(_) => Element::F32,
            crate::tensor::Data::U32(_) => Element::U32,
        };
        self.allocate(device, name, &tensor.shape, element).await?;
        self.write(device, name, tensor.bytes())
    }

    /// Overwrites an entry that is one buffer from its start.
    pub fn write(&self, device: &Device, name: &str, bytes: &[u8]) -> Result<()> {
        let buffer = self.buffer(name)?;
        if bytes.len() as u64 > buffer.size() {
            let reason = format!("{} bytes do not fit its {}", bytes.len(), buffer.size());
            return Err(Error::tensor(name, reason));
        }
        device.write(buffer, 0, bytes)
    }

    /// Writes packed rows from row `first` on into the parts they belong to.
    pub fn write_rows(&self, device: &Device, name: &str, first: usize, words: &[u32]) -> Result<()> {
        let entry = self.entry(name)?;
        let mut graph = Graph::new();
        let id = graph.stored(name, &entry.shape, entry.element);
        let (rows, _) = graph.get(id).matrix();
        let row_bytes = graph.get(id).bytes() / (rows as u64).max(1);
        let row_words = row_bytes as usize / 4;
        let last = first.saturating_add(words.len() / row_words.max(1));
        if last > rows {
            return Err(Error::tensor(name, format!("rows {first}..{last} lie outside its {rows}")));
        }
        for (range, part) in device.caps().split_rows(rows, row_bytes)?.into_iter().zip(&entry.parts) {
            let (from, to) = (range.start.max(first), range.end.min(last));
            if from < to {
                let rows = &words[(from - first) * row_words..(to - first) * row_words];
                device.write(part, (from - range.start) as u64 * row_bytes, bytemuck::cast_slice(rows))?;
            }
        }
        Ok(())
    }

    /// Reads an entry of numbers back.
    pub async fn read(&self, device: &Device, name: &str) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let bytes = device.read(self.buffer(name)?, bytes(&entry.shape)).await?;
        match entry.element {
            Element::F32 => Tensor::new(&entry.shape, bytemuck::pod_collect_to_vec(&bytes)),
            Element::U32 => Tensor::indices(&entry.shape, bytemuck::pod_collect_to_vec(&bytes)),
            Element::Packed(_) => Err(Error::tensor(name, "packed weights are not read back")),
        }
    }

    /// The first (for all but split weights: the only) buffer of an entry.
    pub fn buffer(&self, name: &str) -> Result<&Buffer> {
        self.entry(name)?.parts.first().ok_or_else(|| Error::tensor(name, "is empty"))
    }

    /// All buffers of an entry.
    pub fn parts(&self, name: &str) -> Result<&[Buffer]> {
        Ok(&self.entry(name)?.parts)
    }

    /// The entry that a graph's stored value refers to, after checking that both mean the same. Unpacked values may be
    /// seen at another shape of equal length.
    pub fn resolve(&self, graph: &Graph, id: ValueId) -> Result<&[Buffer]> {
        let value = graph.get(id);
        let entry = self.entry(&value.name)?;
        let same_shape = match value.element {
            Element::Packed(_) => entry.shape == value.shape,
            Element::F32 | Element::U32 => elements(&entry.shape) == elements(&value.shape),
        };
        if !same_shape || entry.element != value.element {
            let reason = format!(
                "the graph expects {:?} {:?}, the store holds {:?} {:?}",
                value.shape, value.element, entry.shape, entry.element
            );
            return Err(Error::tensor(&value.name, reason));
        }
        Ok(&entry.parts)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.entries.values().flat_map(|e| &e.parts).map(Buffer::size).sum()
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| Error::tensor(name, "is not in the store"))
    }
}
