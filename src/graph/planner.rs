//! Which transients share memory: whole buffers, aliased by lifetime.
//!
//! Whole buffers, because WebGPU forbids binding one buffer as read-only and read-write in one dispatch even on
//! disjoint ranges. Lifetimes come from the ops' declared access, never from reference counts.

use super::{Graph, Home, ValueId};

/// The buffers a plan needs, and which of them each transient lies in.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Size of each buffer in bytes.
    pub slots: Vec<u64>,
    /// For each value its slot; None for stored values and for those no op touches.
    pub slot_of: Vec<Option<usize>>,
}

/// Assigns each transient a slot that no value alive at the same time lies in. The largest come first, so that no slot
/// ever grows, and a small value never keeps a large one from a slot of its size.
pub(crate) fn plan(graph: &Graph, reuse: bool) -> Layout {
    let mut layout = Layout { slots: Vec::new(), slot_of: vec![None; graph.values().len()] };
    // For each slot the lifetimes of what lies in it.
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    let lifetimes = lifetimes(graph).into_iter().enumerate().filter_map(|(index, lifetime)| Some((index, lifetime?)));
    let mut values: Vec<_> =
        lifetimes.map(|(index, lifetime)| (graph.get(ValueId(index as u32)).bytes(), index, lifetime)).collect();
    values.sort_by_key(|&(bytes, index, _)| (std::cmp::Reverse(bytes), index));
    for (bytes, index, (first, last)) in values {
        // An op's inputs and outputs are alive together, so they never share.
        let free = |slot: &Vec<(usize, usize)>| slot.iter().all(|&(from, to)| last < from || to < first);
        // Slots are in falling order of size: the last free one fits tightest.
        let slot = taken.iter().rposition(|slot| reuse && free(slot)).unwrap_or_else(|| {
            layout.slots.push(bytes);
            taken.push(Vec::new());
            taken.len() - 1
        });
        taken[slot].push((first, last));
        layout.slot_of[index] = Some(slot);
    }
    layout
}

/// Lets the layouts of plans that never run at once share buffers: each layout's largest lies in the pool's largest,
/// and so on down. Gives the sizes of the pool's buffers.
pub(crate) fn pool(layouts: &mut [Layout]) -> Vec<u64> {
    let mut sizes: Vec<u64> = Vec::new();
    for Layout { slots, slot_of } in layouts {
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(slots[slot]));
        for (place, &slot) in order.iter().enumerate() {
            match sizes.get_mut(place) {
                Some(size) => *size = (*size).max(slots[slot]),
                None => sizes.push(slots[slot]),
            }
        }
        for slot in slot_of.iter_mut().flatten() {
            *slot = order.iter().position(|of| of == slot).unwrap_or(*slot);
        }
        *slots = order.iter().map(|&slot| slots[slot]).collect();
    }
    sizes
}

/// First and last op that touches each transient.
fn lifetimes(graph: &Graph) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes: Vec<Option<(usize, usize)>> = vec![None; graph.values().len()];
    for (step, node) in graph.nodes().iter().enumerate() {
        for (id, _) in node.op.access() {
            if graph.get(id).home == Home::Transient {
                let lifetime = &mut lifetimes[id.0 as usize];
                *lifetime = Some((lifetime.map_or(step, |(first, _)| first), step));
            }
        }
    }
    lifetimes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Element;
    use crate::kernels::{Activation, activation, add};

    /// x → a → b → c, and c + a.
    fn chain() -> (Graph, [ValueId; 4]) {
        let mut graph = Graph::new();
        let x = graph.stored("x", &[64], Element::F32);
        let mut step = |from| activation(&mut graph, from, Activation::Silu).unwrap();
        let a = step(x);
        let b = step(a);
        let c = step(b);
        let sum = add(&mut graph, c, a).unwrap();
        (graph, [a, b, c, sum])
    }

    #[test]
    fn values_alive_together_never_share() {
        let (graph, _) = chain();
        let layout = plan(&graph, true);
        let lifetimes = lifetimes(&graph);
        for i in 0..graph.values().len() {
            for j in 0..i {
                let (Some(a), Some(b)) = (lifetimes[i], lifetimes[j]) else { continue };
                let together = a.0 <= b.1 && b.0 <= a.1;
                assert!(!together || layout.slot_of[i] != layout.slot_of[j], "values {i} and {j} share");
            }
        }
    }

    #[test]
    fn memory_is_used_again_and_not_for_stored_values() {
        let (graph, [a, b, c, sum]) = chain();
        let layout = plan(&graph, true);
        let slot = |id: ValueId| layout.slot_of[id.0 as usize];
        assert_eq!(layout.slot_of[0], None, "x is stored");
        assert_eq!(slot(sum), slot(b), "b ended before the sum began");
        assert_ne!(slot(a), slot(c));
        assert_eq!(layout.slots.len(), 3);
        assert_eq!(plan(&graph, false).slots.len(), 4, "without reuse each has its own");
    }

    #[test]
    fn plans_that_never_run_at_once_share_a_pool() {
        let layout = |slots: &[u64]| Layout { slots: slots.to_vec(), slot_of: (0..slots.len()).map(Some).collect() };
        let mut layouts = [layout(&[5, 90, 40]), layout(&[60, 70])];
        assert_eq!(pool(&mut layouts), [90, 60, 5]);
        assert_eq!(layouts[0].slot_of, [Some(2), Some(0), Some(1)]);
        assert_eq!(layouts[1].slot_of, [Some(1), Some(0)]);
        assert_eq!(layouts[1].slots, [70, 60]);
    }

    #[test]
    fn a_small_value_takes_no_large_slot() {
        let mut graph = Graph::new();
        let large = graph.stored("large", &[1024, 4], Element::F32);
        let small = graph.stored("small", &[4], Element::F32);
        let mut step = |from| activation(&mut graph, from, Activation::Silu).unwrap();
        step(large);
        let kept = step(small);
        let again = step(large);
        add(&mut graph, again, kept).unwrap();
        assert_eq!(plan(&graph, true).slots, [4 * 4096, 4 * 4096, 4 * 4]);
    }
}
