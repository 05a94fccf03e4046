//! What an op is: data that says which values it touches, how to record itself, and what it computes.

use std::fmt::Debug;

use super::host;
use super::reference::HostValues;
use super::{Access, Candidates, Caps, Dispatch, Graph, Host, Indices, Pass, ValueId, pass};
use crate::Result;

/// An op over values of a graph. Each lives in one file of `src/kernels/`, beside its shader, with the constructor
/// that checks shapes and pushes it.
pub trait Op: Debug + Send + Sync {
    /// Its name in errors and printed graphs.
    fn name(&self) -> &'static str;

    /// What each of its passes binds, in the order of the shader's storage bindings 1, 2, …. Most ops have one pass.
    /// The memory planner relies on it, and so does every device.
    fn passes(&self) -> Vec<Pass>;

    /// The dispatches that compute it on a device with `caps`, in order.
    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>>;

    /// The variants between which a device with `caps` could choose, where there are several. [`Op::record`] takes the one
    /// that [`Caps::choices`] names for the case, else the first.
    fn candidates(&self, _graph: &Graph, _caps: &Caps) -> Option<Candidates> {
        None
    }

    /// The same on the CPU, written to be read: the definition the kernel is tested against.
    fn reference(&self, graph: &Graph, host: &mut HostValues);

    /// The same on the CPU, fast: what [`Processor`](crate::device::Processor) runs. An op whose fast form would equal
    /// its reference runs the reference by [`Host::by_reference`]; so does an op that has none, with a warning.
    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host::warn_of_reference(self.name());
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    /// The indices that it reads, and what they may be. A policy's tables are held against it.
    fn indices(&self, _graph: &Graph) -> Vec<Indices> {
        Vec::new()
    }

    /// Floating-point operations of its matrix products; a multiply-add counts as two. Elementwise work counts zero.
    fn flops(&self, _graph: &Graph) -> u64 {
        0
    }

    /// Every value that it touches, once, and how the op as a whole touches it. It follows from the passes.
    fn access(&self) -> Vec<(ValueId, Access)> {
        pass::access(&self.passes())
    }
}
