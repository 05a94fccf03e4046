//! No compression: every sublayer computes on every row.

use super::{Among, AnyPolicy, BlockInput, BlockRows, Choice, Compaction, Marked, Policy, PolicyKind, StepAt};
use crate::Result;
use crate::graph::Graph;
use crate::kernels::{ReadRows, WriteRows};

/// The policy that leaves everything as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dense;

impl Policy for Dense {
    type Step = ();

    fn name(&self) -> &str {
        "dense"
    }

    fn step(&self, _at: StepAt) {}

    fn block(&self, _step: &(), _graph: &mut Graph, _at: BlockInput) -> Result<BlockRows> {
        Ok(BlockRows::default())
    }

    fn chooses_among(&self) -> bool {
        true
    }

    fn block_among(&self, _step: &(), _graph: &mut Graph, _at: BlockInput, among: Among) -> Result<BlockRows> {
        let Among::Marked(Marked { rows, place, .. }) = among else { return Ok(BlockRows::default()) };
        let read = ReadRows::Map { index: rows, weight: None };
        let write = WriteRows::Map { index: place, weight: None };
        let marked = Compaction { read, write, ..Compaction::default() };
        Ok(BlockRows { attention: marked, cross: marked, mlp: marked, ..BlockRows::default() })
    }
}

impl PolicyKind for Dense {
    fn name(&self) -> &str {
        "dense"
    }

    fn summary(&self) -> &str {
        "every token through every layer"
    }

    fn no_ratio(&self) -> Option<&str> {
        Some("computes every token")
    }

    fn policy(&self, _choice: Choice<'_>) -> Result<AnyPolicy> {
        Ok(AnyPolicy::new(Dense))
    }
}
