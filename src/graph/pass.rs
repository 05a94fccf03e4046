//! Which values a kernel binds, and how it touches them: declared once, for the planner and for the device.

use super::ValueId;

/// How a value is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Written whole, without reading what was there.
    Write,
    /// Read and written, or written in part.
    Update,
}

/// What is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A value of the graph.
    Value(ValueId),
    /// A small dummy, for an input that this variant of the kernel does not read.
    Absent,
    /// The workspace: memory for what one pass of an op leaves to the next, of the size that a dispatch asks for
    /// ([`Dispatch::workspace`](super::Dispatch::workspace)). Its contents do not outlive the op. It is not a value,
    /// because whether an op needs one depends on the device.
    Workspace,
}

/// One storage binding of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What is bound.
    pub target: Target,
    /// `Read` where the shader declares `read`; `Write` or `Update` where it declares `read_write`.
    pub access: Access,
}

/// What one kernel binds, in the order of its shader's storage bindings 1, 2, ….
///
/// ```
/// # use foveate::low_level::graph::{Element, Graph, Pass};
/// # let mut graph = Graph::new();
/// # let (x, out, bias) = (graph.transient("x", &[4]), graph.transient("out", &[4]), None);
/// Pass::new().read(x).read(bias).write(out);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass(Vec<Bind>);

impl Bind {
    /// The value that is bound, where it is one.
    pub fn value(&self) -> Option<ValueId> {
        match self.target {
            Target::Value(id) => Some(id),
            Target::Absent | Target::Workspace => None,
        }
    }
}

impl Pass {
    /// No bindings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next binding is read.
    pub fn read(self, value: impl Into<Option<ValueId>>) -> Self {
        self.bind(value, Access::Read)
    }

    /// The next bindings, one per value, are read.
    pub fn read_all<V: Into<Option<ValueId>>>(self, values: impl IntoIterator<Item = V>) -> Self {
        values.into_iter().fold(self, Self::read)
    }

    /// The next binding is written whole.
    pub fn write(self, value: impl Into<Option<ValueId>>) -> Self {
        self.bind(value, Access::Write)
    }

    /// The next binding is read and written, or written in part.
    pub fn update(self, value: impl Into<Option<ValueId>>) -> Self {
        self.bind(value, Access::Update)
    }

    /// The next binding is touched as `access` says.
    pub fn bind(self, value: impl Into<Option<ValueId>>, access: Access) -> Self {
        self.push(value.into().map_or(Target::Absent, Target::Value), access)
    }

    /// The next binding is the workspace: see [`Target::Workspace`].
    pub fn workspace(self, access: Access) -> Self {
        self.push(Target::Workspace, access)
    }

    fn push(mut self, target: Target, access: Access) -> Self {
        self.0.push(Bind { target, access });
        self
    }

    /// Its bindings in order.
    pub fn binds(&self) -> &[Bind] {
        &self.0
    }
}

/// Every value that `passes` touch, once, with the mode by which they do so together. What an earlier pass has written
/// whole, a later one may read: for the outside it is written.
pub(super) fn access(passes: &[Pass]) -> Vec<(ValueId, Access)> {
    let mut all: Vec<(ValueId, Access)> = Vec::new();
    for bind in passes.iter().flat_map(Pass::binds) {
        let Some(value) = bind.value() else { continue };
        match all.iter_mut().find(|(known, _)| *known == value) {
            None => all.push((value, bind.access)),
            Some((_, access)) if *access == Access::Read && bind.access != Access::Read => *access = Access::Update,
            Some(_) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_op_touches_a_value_as_its_passes_do_together() {
        let [a, b, c, d] = [0, 1, 2, 3].map(ValueId);
        let passes = [
            Pass::new().read(a).write(b).read(c).read(None).update(d),
            Pass::new().read_all([Some(a), None]).read(b).write(c).read(d).workspace(Access::Write),
        ];
        let expected = [(a, Access::Read), (b, Access::Write), (c, Access::Update), (d, Access::Update)];
        assert_eq!(access(&passes), expected);
    }
}
