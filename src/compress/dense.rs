//! No compression: every sublayer computes on every row.

use super::{AnyPolicy, BlockInput, BlockRows, Choice, Policy, PolicyKind, StepAt};
use crate::Result;
use crate::graph::Graph;

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
