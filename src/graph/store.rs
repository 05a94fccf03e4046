//! Named tensors on the GPU that outlive a plan: weights, and the state of a run.

use std::collections::HashMap;
use std::ops::Range;

use super::{Element, Graph, Home, ValueId};
use crate::gpu::{Buffer, Caps, Gpu};
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

    /// The row ranges into which a `[rows, …]` weight of `row_bytes` per row is split so that each part can be bound.
    /// The uploader and the kernels both ask here, so they agree.
    pub fn split_rows(rows: usize, row_bytes: u64, caps: &Caps) -> Result<Vec<Range<usize>>> {
        let most = (caps.max_tensor_bytes() / row_bytes.max(1)) as usize;
        if most == 0 {
            return Err(Error::Limit {
                what: "one row of a weight".into(),
                limit: "max_storage_buffer_binding_size",
                needed: row_bytes,
                available: caps.max_tensor_bytes(),
            });
        }
        // A multiple of 64 keeps every part but the last whole in the kernels' tiles.
        let most = if most >= 64 { most / 64 * 64 } else { most };
        Ok((0..rows).step_by(most).map(|start| start..rows.min(start + most)).collect())
    }

    /// Adds zeroed memory for a value of this shape: one buffer, or for packed weights one per part.
    pub async fn allocate(&mut self, gpu: &Gpu, name: &str, shape: &[usize], element: Element) -> Result<()> {
        let mut graph = Graph::new();
        let id = graph.stored(name, shape, element);
        let value = graph.get(id);
        let mut parts = Vec::new();
        if let Element::Packed(_) = element {
            let (rows, _) = value.matrix();
            let row_bytes = value.bytes() / (rows as u64).max(1);
            for range in Self::split_rows(rows, row_bytes, gpu.caps())? {
                parts.push(gpu.buffer(range.len() as u64 * row_bytes, name).await?);
            }
        } else {
            parts.push(gpu.buffer(value.bytes(), name).await?);
        }
        self.entries.insert(name.to_owned(), Entry { parts, shape: shape.to_vec(), element });
        Ok(())
    }

    /// Adds zeroed memory for every unpacked stored value of `graph` that is not here yet. Weights must be.
    pub async fn allocate_missing(&mut self, gpu: &Gpu, graph: &Graph) -> Result<()> {
        for value in graph.values() {
            let packed = matches!(value.element, Element::Packed(_));
            if value.home == Home::Stored && !packed && !self.entries.contains_key(&value.name) {
                self.allocate(gpu, &value.name, &value.shape, value.element).await?;
            }
        }
        Ok(())
    }

    /// Adds a tensor with its contents.
    pub async fn insert(&mut self, gpu: &Gpu, name: &str, tensor: &Tensor) -> Result<()> {
        let element = match tensor.data {
            crate::tensor::Data::F32(_) => Element::F32,
            crate::tensor::Data::U32(_) => Element::U32,
        };
        self.allocate(gpu, name, &tensor.shape, element).await?;
        self.write(gpu, name, tensor.bytes())
    }

    /// Overwrites an entry that is one buffer from its start.
    pub fn write(&self, gpu: &Gpu, name: &str, bytes: &[u8]) -> Result<()> {
        let buffer = self.buffer(name)?;
        if bytes.len() as u64 > buffer.size() {
            let reason = format!("{} bytes do not fit its {}", bytes.len(), buffer.size());
            return Err(Error::tensor(name, reason));
        }
        gpu.write(buffer, 0, bytes);
        Ok(())
    }

    /// Writes packed rows from row `first` on into the parts they belong to.
    pub fn write_rows(&self, gpu: &Gpu, name: &str, first: usize, words: &[u32]) -> Result<()> {
        let entry = self.entry(name)?;
        let mut graph = Graph::new();
        let id = graph.stored(name, &entry.shape, entry.element);
        let (rows, _) = graph.get(id).matrix();
        let row_bytes = graph.get(id).bytes() / (rows as u64).max(1);
        let row_words = row_bytes as usize / 4;
        let last = first + words.len() / row_words.max(1);
        if last > rows {
            return Err(Error::tensor(name, format!("rows {first}..{last} lie outside its {rows}")));
        }
        for (range, part) in Self::split_rows(rows, row_bytes, gpu.caps())?.into_iter().zip(&entry.parts) {
            let (from, to) = (range.start.max(first), range.end.min(last));
            if from < to {
                let rows = &words[(from - first) * row_words..(to - first) * row_words];
                gpu.write(part, (from - range.start) as u64 * row_bytes, bytemuck::cast_slice(rows));
            }
        }
        Ok(())
    }

    /// Reads an entry of numbers back.
    pub async fn read(&self, gpu: &Gpu, name: &str) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let bytes = gpu.read(self.buffer(name)?, 4 * entry.shape.iter().product::<usize>() as u64).await?;
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
            Element::F32 | Element::U32 => entry.shape.iter().product::<usize>() == value.len(),
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

    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.entries.values().flat_map(|e| &e.parts).map(Buffer::size).sum()
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| Error::tensor(name, "is not in the store"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_split_into_bindable_rows() {
        let caps = Caps { max_binding: 1 << 20, ..Caps::minimum() };
        let whole = Store::split_rows(100, 4096, &caps).unwrap();
        assert_eq!(whole, vec![0..100; 1]);
        let parts = Store::split_rows(1000, 4096, &caps).unwrap();
        assert_eq!(parts, [0..256, 256..512, 512..768, 768..1000]);
        let error = Store::split_rows(2, 2 << 20, &caps).unwrap_err().to_string();
        assert!(error.contains("max_storage_buffer_binding_size = 2097152"), "{error}");
    }
}
