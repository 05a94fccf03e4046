//! A computation as printable data: named values, and ops that read and write them in order.
//!
//! A value is a piece of memory with a name. Ops run in the order they were added and may update a value in place, so
//! the residual stream stays one value through a whole model. A graph can be built, printed, counted
//! ([`Graph::flops`]) and run by its ops' references ([`reference::run`]) without a GPU: nothing here imports wgpu, or
//! any device. What a kernel needs of one is data, too: its [`Caps`], and the [`Dispatch`]es that an op records for
//! them.

mod alone;
mod caps;
mod choices;
mod dispatch;
pub mod host;
mod indices;
mod op;
mod params;
mod pass;
pub(crate) mod planner;
pub mod reference;
mod shader;
mod weight;

use std::fmt;
use std::sync::Arc;

pub use caps::{AdapterClass, Arithmetic, Caps, MatrixUnits, MemoryPlace};
pub use choices::{Candidates, Choices};
pub use dispatch::Dispatch;
pub use host::Host;
pub use indices::Indices;
pub use op::Op;
pub use pass::{Access, Bind, Pass, Target};
pub use shader::Shader;
pub use weight::Weight;

use crate::size::{bytes, elements};
use crate::weights::Format;
use crate::{Error, Result};

/// Names a value of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// A named piece of memory.
#[derive(Clone, Debug)]
pub struct Value {
    /// For stored values the key in the [`Store`](crate::device::Store); for transients a label.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// How an element lies in memory.
    pub element: Element,
    /// Who provides the memory.
    pub home: Home,
}

/// How a value's elements lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Numbers.
    F32,
    /// Indices.
    U32,
    /// A weight matrix `[rows, k]` packed row by row (see [`Format`]); more dimensions count as part of `k`.
    Packed(Format),
}

/// Who provides a value's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The plan: alive from its first use to its last, sharing memory with others.
    Transient,
    /// The [`Store`](crate::device::Store), under the value's name: weights, and state that outlives a run of the plan.
    Stored,
}

/// Values and the ops over them. Cloning shares the ops.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    group: String,
    overhead: bool,
    beyond_f16: bool,
}

/// One op, and the group of the profile it belongs to.
#[derive(Clone, Debug)]
pub struct Node {
    /// The op.
    pub op: Arc<dyn Op>,
    /// "block 3 attention".
    pub group: String,
    /// Whether it serves to decide what to compute.
    pub overhead: bool,
    /// Whether its kernels may run without checks: see `gpu/unchecked.rs`.
    pub(crate) unchecked: bool,
}

impl Value {
    /// Number of elements.
    pub fn len(&self) -> usize {
        usize::try_from(elements(&self.shape)).unwrap_or(usize::MAX)
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows and the length of a row, where a value is seen as a matrix: the last dimension (weights: all but the first)
    /// is a row.
    pub fn matrix(&self) -> (usize, usize) {
        let rows = match self.element {
            Element::Packed(_) => self.shape.first().copied().unwrap_or(1),
            _ => self.shape.iter().rev().skip(1).fold(1, |rows: usize, &size| rows.saturating_mul(size)),
        };
        (rows, self.len().checked_div(rows).unwrap_or(0))
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let (rows, k) = self.matrix();
        match self.element {
            Element::F32 | Element::U32 => bytes(&self.shape),
            Element::Packed(format) => bytes(&[rows, format.row_words(k)]),
        }
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value whose memory the plan provides.
    pub fn transient(&mut self, name: impl Into<String>, shape: &[usize]) -> ValueId {
        self.value(Value { name: name.into(), shape: shape.to_vec(), element: Element::F32, home: Home::Transient })
    }

    /// A transient of indices.
    pub fn transient_indices(&mut self, name: impl Into<String>, shape: &[usize]) -> ValueId {
        self.value(Value { name: name.into(), shape: shape.to_vec(), element: Element::U32, home: Home::Transient })
    }

    /// A value that lies in the [`Store`](crate::device::Store) under `name`. Asking twice gives the same value.
    pub fn stored(&mut self, name: impl Into<String>, shape: &[usize], element: Element) -> ValueId {
        let name = name.into();
        let known = self.values.iter().position(|v| v.home == Home::Stored && v.name == name);
        match known {
            Some(index) => ValueId(index as u32),
            None => self.value(Value { name, shape: shape.to_vec(), element, home: Home::Stored }),
        }
    }

    /// Makes a transient a stored value: it outlives the plan, under `name`.
    pub fn store(&mut self, id: ValueId, name: impl Into<String>) {
        let value = &mut self.values[id.0 as usize];
        (value.home, value.name) = (Home::Stored, name.into());
    }

    fn value(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() as u32 - 1)
    }

    /// Appends an op.
    pub fn push(&mut self, op: impl Op + 'static) {
        self.append(op, false);
    }

    /// Appends an op whose kernels may run without checks, for the reasons that `gpu/unchecked.rs` writes down.
    pub(crate) fn push_audited(&mut self, op: impl Op + 'static) {
        self.append(op, true);
    }

    fn append(&mut self, op: impl Op + 'static, unchecked: bool) {
        let (group, overhead) = (self.group.clone(), self.overhead);
        self.nodes.push(Node { op: Arc::new(op), group, overhead, unchecked });
    }

    /// Ops added from here on belong to `group` of the profile.
    pub fn group(&mut self, group: impl Into<String>) {
        (self.group, self.overhead) = (group.into(), false);
    }

    /// The same of ops that serve to decide what the others compute: scores, matching, selections.
    pub fn overhead(&mut self, group: impl Into<String>) {
        (self.group, self.overhead) = (group.into(), true);
    }

    /// Adds ops whose numbers may be beyond the range of f16, of which the largest is 65,504: they are multiplied in f32
    /// on every device.
    pub fn beyond_f16<R>(&mut self, add: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.beyond_f16, true);
        let added = add(self);
        self.beyond_f16 = before;
        added
    }

    /// Whether ops that are added now may have such numbers.
    pub fn is_beyond_f16(&self) -> bool {
        self.beyond_f16
    }

    /// All values, indexed by [`ValueId`].
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// All ops in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What lies behind an id.
    pub fn get(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// A value's dimensions.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.get(id).shape
    }

    /// A value's dimensions, where there must be `D` of them.
    pub fn dims<const D: usize>(&self, op: &str, id: ValueId) -> Result<[usize; D]> {
        let value = self.get(id);
        value.shape.as_slice().try_into().map_err(|_| {
            Error::shape(op, format!("{} has shape {:?}, expected {D} dimensions", value.name, value.shape))
        })
    }

    /// Fails unless `id` has exactly `shape`.
    pub fn expect(&self, op: &str, id: ValueId, shape: &[usize]) -> Result<()> {
        let value = self.get(id);
        if value.shape == shape {
            return Ok(());
        }
        Err(Error::shape(op, format!("{} has shape {:?}, expected {shape:?}", value.name, value.shape)))
    }

    /// Multiply-adds count as two. What serves to decide is not counted: it is overhead, which shows in time, and
    /// counted as work it would flatter the speed that the work lets hope for.
    pub fn flops(&self) -> u64 {
        let counted = self.nodes.iter().filter(|node| !node.overhead);
        counted.fold(0, |sum: u64, node| sum.saturating_add(node.op.flops(self)))
    }

    /// Bytes of memory that a plan of this graph takes beside what is stored: values that are never alive together
    /// share it. A device may take a workspace besides, of some MiB.
    pub fn transient_bytes(&self) -> u64 {
        planner::plan(self, true).slots.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes))
    }

    /// Fails where a device of these capabilities cannot hold a value or run an op. Nothing is allocated for it.
    pub fn check(&self, caps: &Caps) -> Result<()> {
        // Packed weights are split by rows.
        for value in self.values.iter().filter(|value| !matches!(value.element, Element::Packed(_))) {
            caps.check_tensor(&format!("{} {:?}", value.name, value.shape), value.bytes())?;
        }
        for Node { op, .. } in &self.nodes {
            for dispatch in op.record(self, caps)? {
                caps.check_workgroups(op.name(), dispatch.workgroups)?;
            }
        }
        Ok(())
    }
}

/// One line per op: group, op, and what it reads and writes.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            write!(f, "{:24} {:18}", node.group, node.op.name())?;
            for (id, access) in node.op.access() {
                let value = self.get(id);
                let mark = match access {
                    Access::Read => "",
                    Access::Write => "→ ",
                    Access::Update => "↻ ",
                };
                write!(f, "  {mark}{}{:?}", value.name, value.shape)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
