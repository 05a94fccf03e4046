//! What an op is: data that knows which values it touches, how to record itself, and what it computes.

use std::fmt::Debug;

use super::reference::HostValues;
use super::{Graph, ValueId};
use crate::Result;
use crate::gpu::{Caps, Shader};

/// An op over values of a graph. Each lives in one file of `src/kernels/`, beside its shader, with the constructor
/// that checks shapes and pushes it.
pub trait Op: Debug + Send + Sync {
    /// The stem of its two files.
    fn name(&self) -> &'static str;

    /// Every value it touches, and how. The memory planner relies on it.
    fn access(&self) -> Vec<(ValueId, Access)>;

    /// The dispatches that compute it on an adapter with `caps`.
    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>>;

    /// The same on the CPU, written to be read: the definition the kernel is tested against.
    fn reference(&self, graph: &Graph, host: &mut HostValues);

    /// Floating-point operations of its matrix products; a multiply-add counts as two. Elementwise work counts zero.
    fn flops(&self, _graph: &Graph) -> u64 {
        0
    }
}

/// How an op touches a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Written whole, without reading what was there.
    Write,
    /// Read and written, or written in part.
    Update,
}

/// One run of one kernel.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The WGSL file.
    pub shader: &'static Shader,
    /// Its entry point.
    pub entry: &'static str,
    /// Values of its `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// The bytes of its uniform `Params`, which is binding 0.
    pub params: Vec<u8>,
    /// Its storage buffers: bindings 1, 2, ….
    pub bindings: Vec<Binding>,
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
}

/// What is bound to one storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A whole value.
    Value(ValueId),
    /// One part of a weight that was split by rows (see [`Caps::max_binding`] and [`crate::graph::Store::split_rows`]).
    Part(ValueId, usize),
    /// Nothing: a small dummy, for an input that this variant of the kernel does not read.
    Absent,
}

impl From<ValueId> for Binding {
    fn from(id: ValueId) -> Self {
        Self::Value(id)
    }
}

impl From<Option<ValueId>> for Binding {
    fn from(id: Option<ValueId>) -> Self {
        id.map_or(Self::Absent, Self::Value)
    }
}
