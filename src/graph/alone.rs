//! One op of a graph by itself: what is measured when variants of its kernel are compared.

use super::{Graph, Home, Node};

impl Graph {
    /// A graph of the `index`th op alone. All that it touches is stored there, as value 0, 1, …, so that it can be filled and read.
    /// `None` where there is no such op.
    pub fn alone(&self, index: usize) -> Option<Self> {
        let node: Node = self.nodes().get(index)?.clone();
        let mut graph = self.clone();
        graph.nodes.clear();
        for (id, _) in node.op.access() {
            let value = &mut graph.values[id.0 as usize];
            value.home = Home::Stored;
            value.name = format!("value {}", id.0);
        }
        graph.nodes.push(node);
        Some(graph)
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Graph, Home};
    use crate::kernels::{Activation, activation, add};

    #[test]
    fn an_op_stands_alone_with_what_it_touches() {
        let mut graph = Graph::new();
        let x = graph.stored("x", &[3, 4], crate::graph::Element::F32);
        let silu = activation(&mut graph, x, Activation::Silu).unwrap();
        let sum = add(&mut graph, x, silu).unwrap();
        let alone = graph.alone(1).unwrap();
        assert_eq!(alone.nodes().len(), 1);
        for id in [x, silu, sum] {
            assert_eq!((alone.get(id).home, &alone.get(id).shape), (Home::Stored, &graph.get(id).shape));
        }
        assert_ne!(alone.get(silu).name, alone.get(sum).name);
        let first = graph.alone(0).unwrap();
        assert_eq!(first.get(sum).home, Home::Transient);
        assert!(graph.alone(2).is_none());
    }
}
