//! What there is to choose in some graphs: each case once, the one with the most work first.

use std::collections::HashMap;

use crate::graph::{Candidates, Caps, Graph};

/// A case of a kernel, and an op that asks for it.
#[derive(Debug)]
pub(super) struct Case {
    pub candidates: Candidates,
    /// The op by itself: see [`Graph::alone`].
    pub graph: Graph,
    /// Floating-point operations of all ops that ask for it.
    pub flops: u64,
}

/// The cases of these graphs, on a device with `caps`.
pub(super) fn cases(graphs: &[Graph], caps: &Caps) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let mut known: HashMap<(&str, String), usize> = HashMap::new();
    for graph in graphs {
        for (index, node) in graph.nodes().iter().enumerate() {
            let Some(candidates) = node.op.candidates(graph, caps) else { continue };
            let flops = node.op.flops(graph);
            let key = (candidates.kernel, candidates.case.clone());
            if let Some(&place) = known.get(&key) {
                all[place].flops += flops;
            } else if let Some(graph) = graph.alone(index) {
                known.insert(key, all.len());
                all.push(Case { candidates, graph, flops });
            }
        }
    }
    all.sort_by_key(|case| std::cmp::Reverse(case.flops));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Element;
    use crate::kernels::{Activation, Linear, ReadRows, linear};
    use crate::weights::Format;

    #[test]
    fn a_case_is_measured_once_however_many_ops_ask_for_it() {
        let mut graph = Graph::new();
        let mut x = graph.stored("x", &[64, 32], Element::F32);
        for (layer, columns) in [(0, 32), (1, 32), (2, 8)] {
            let name = format!("w{layer}");
            let weight = graph.stored(name, &[columns, 32], Element::Packed(Format::F16));
            let options = Linear { weight, bias: None, activation: Activation::None, rows: ReadRows::All };
            x = linear(&mut graph, x, options).unwrap();
        }
        let found = cases(&[graph.clone(), graph], &Caps::minimum());
        let facts: Vec<_> = found.iter().map(|case| (case.candidates.case.as_str(), case.flops)).collect();
        assert_eq!(facts, [("64x32x32 f16", 4 * 2 * 64 * 32 * 32), ("64x8x32 f16", 2 * 2 * 64 * 8 * 32)]);
        assert!(found.iter().all(|case| case.candidates.variants.len() > 1 && case.graph.nodes().len() == 1));
    }
}
