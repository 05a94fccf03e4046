//! What the indices may be that ops read. Kernels trust them: beyond the rows that they count lies what a device makes
//! of it, or the end of the process.

use super::{Graph, Home, ValueId};
use crate::size::elements;
use crate::{Error, Result, Tensor};

/// Indices that an op reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indices {
    /// The value that holds them.
    pub value: ValueId,
    /// Each is below this.
    pub below: usize,
    /// Or, where this is set, `u32::MAX`: nothing.
    pub or_nothing: bool,
}

impl Indices {
    /// Indices below `below`.
    pub fn below(value: ValueId, below: usize) -> Self {
        Self { value, below, or_nothing: false }
    }

    /// Indices below `below`, or nothing.
    pub fn below_or_nothing(value: ValueId, below: usize) -> Self {
        Self { value, below, or_nothing: true }
    }

    fn allows(&self, index: u32) -> bool {
        (index as usize) < self.below || (self.or_nothing && index == u32::MAX)
    }
}

impl Graph {
    /// Fails where `table` is not what the ops of the graph may read as the stored value `name`: where it does not fill
    /// its shape, or where an index counts beyond its rows.
    pub fn check_table(&self, name: &str, table: &Tensor) -> Result<()> {
        if table.data.len() as u64 != elements(&table.shape) {
            let reason = format!("{} values cannot fill the shape {:?}", table.data.len(), table.shape);
            return Err(Error::tensor(name, reason));
        }
        for node in &self.nodes {
            for read in node.op.indices(self) {
                let value = self.get(read.value);
                if value.home != Home::Stored || value.name != name {
                    continue;
                }
                if let Some(&index) = table.u32().iter().find(|index| !read.allows(**index)) {
                    let reason =
                        format!("has the index {index}; {} reads indices below {}", node.op.name(), read.below);
                    return Err(Error::tensor(name, reason));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Element;
    use crate::kernels::{NOTHING, Norm, ReadRows, WriteRows, norm, residual};

    /// Two samples of five rows, of which a policy's tables name three.
    fn graph() -> Graph {
        let mut graph = Graph::new();
        let x = graph.stored("x", &[2, 5, 4], Element::F32);
        let index = graph.stored("kept", &[2, 3, 1], Element::U32);
        let place = graph.stored("place", &[2, 5], Element::U32);
        let rows = ReadRows::Map { index, weight: None };
        let branch = norm(&mut graph, x, Norm { rows, ..Norm::default() }).unwrap();
        residual(&mut graph, x, branch, None, WriteRows::Map { index: place, weight: None }).unwrap();
        graph
    }

    #[test]
    fn a_table_that_counts_beyond_the_rows_is_refused() {
        let refused = |name: &str, shape: &[usize], values: &[u32]| {
            let table = Tensor { shape: shape.to_vec(), data: crate::tensor::Data::U32(values.to_vec()) };
            graph().check_table(name, &table).err().map(|error| error.to_string())
        };
        let kept = |last| refused("kept", &[2, 3, 1], &[0, 1, 4, 2, 3, last]);
        assert_eq!((kept(4), refused("another", &[1], &[9])), (None, None));
        assert_eq!(kept(5).unwrap(), "tensor kept: has the index 5; norm reads indices below 5");
        assert!(kept(NOTHING).unwrap().contains("4294967295"), "a row that is read is some row");
        let place = |last| refused("place", &[2, 5], &[0, NOTHING, 1, 2, 0, 0, 1, 2, 0, last]);
        assert_eq!((place(NOTHING), place(2)), (None, None));
        assert_eq!(place(3).unwrap(), "tensor place: has the index 3; residual reads indices below 3");
        assert!(refused("place", &[2, 5], &[0]).unwrap().ends_with("1 values cannot fill the shape [2, 5]"));
    }
}
