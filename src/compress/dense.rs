//! No compression: every sublayer computes on every row.

use super::{BlockInput, BlockRows, Policy, StepAt, Variant};
use crate::Result;
use crate::graph::Graph;

/// The policy that leaves everything as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dense;

impl Policy for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn variant(&self, _step: StepAt) -> Variant {
        Variant::new()
    }

    fn block(&self, _graph: &mut Graph, _variant: &Variant, _at: BlockInput) -> Result<BlockRows> {
        Ok(BlockRows::default())
    }
}
