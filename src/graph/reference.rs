//! Runs a graph on the CPU by its ops' references: slow, plain, and the judge of every kernel.

use std::collections::HashMap;

use super::{Element, Graph, Home, ValueId};
use crate::tensor::Data;
use crate::{Error, Result, Tensor};

/// The values of a graph in host memory.
#[derive(Debug, Default)]
pub struct HostValues {
    tensors: HashMap<ValueId, Tensor>,
}

impl HostValues {
    /// Numbers of a value; packed weights arrive decoded, rows without padding. Empty where nothing was written.
    pub fn f32(&self, id: ValueId) -> &[f32] {
        self.tensors.get(&id).map_or(&[], Tensor::f32)
    }

    /// Indices of a value.
    pub fn u32(&self, id: ValueId) -> &[u32] {
        self.tensors.get(&id).map_or(&[], Tensor::u32)
    }

    /// Replaces a value: numbers or indices as its graph says, packed weights decoded.
    pub fn insert(&mut self, id: ValueId, tensor: Tensor) {
        self.tensors.insert(id, tensor);
    }

    /// Replaces the numbers of a value.
    pub fn write(&mut self, graph: &Graph, id: ValueId, values: Vec<f32>) {
        debug_assert_eq!(values.len(), graph.get(id).len(), "{}", graph.get(id).name);
        self.tensors.insert(id, Tensor { shape: graph.shape(id).to_vec(), data: Data::F32(values) });
    }

    /// Replaces the indices of a value.
    pub fn write_indices(&mut self, graph: &Graph, id: ValueId, values: Vec<u32>) {
        debug_assert_eq!(values.len(), graph.get(id).len(), "{}", graph.get(id).name);
        self.tensors.insert(id, Tensor { shape: graph.shape(id).to_vec(), data: Data::U32(values) });
    }
}

/// Runs every op in order. `stored` gives the contents of stored values by name (weights as numbers); those not given
/// start at zero.
pub fn run(graph: &Graph, stored: &HashMap<String, Tensor>) -> Result<HostValues> {
    let mut host = HostValues::default();
    for (index, value) in graph.values().iter().enumerate().filter(|(_, v)| v.home == Home::Stored) {
        let tensor = match stored.get(&value.name) {
            Some(tensor) if tensor.shape != value.shape => {
                let reason = format!("expected shape {:?}, found {:?}", value.shape, tensor.shape);
                return Err(Error::tensor(&value.name, reason));
            }
            Some(tensor) => tensor.clone(),
            None if value.element == Element::U32 => Tensor::indices(&value.shape, vec![0; value.len()])?,
            None => Tensor::new(&value.shape, vec![0.0; value.len()])?,
        };
        let tensor = match value.element {
            // What the kernel sees are the weights as packed, rounding included.
            Element::Packed(format) => {
                let (_, k) = value.matrix();
                let mut words = Vec::new();
                format.encode_rows(tensor.f32(), k, &mut words).map_err(|unfit| unfit.of(&value.name))?;
                Tensor::new(&value.shape, format.decode_rows(&words, k))?
            }
            _ => tensor,
        };
        host.tensors.insert(ValueId(index as u32), tensor);
    }
    for node in graph.nodes() {
        node.op.reference(graph, &mut host);
    }
    Ok(host)
}
