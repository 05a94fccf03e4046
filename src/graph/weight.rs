//! A model's handle on one of its tensors.

use super::{Element, Graph, ValueId};

/// A tensor that is, or will be, in the [`Store`](crate::device::Store).
#[derive(Clone, Debug)]
pub struct Weight {
    /// Its name in the store.
    pub key: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub element: Element,
}

impl Weight {
    /// The weight as a value of `graph`.
    pub fn in_graph(&self, graph: &mut Graph) -> ValueId {
        graph.stored(&self.key, &self.shape, self.element)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let mut graph = Graph::new();
        let id = self.in_graph(&mut graph);
        graph.get(id).bytes()
    }
}
