//! What a compression policy is: a value that decides, block by block, which rows of the residual stream are computed.

use std::fmt::Debug;

use super::{Among, BlockRows, KeptRatios, Span};
use crate::graph::{Graph, ValueId};
use crate::{Grid, Refusal, Result, Tensor, Warning};

/// Decides which rows of the residual stream each sublayer reads and writes.
///
/// A policy is asked twice. Before the run it is asked for each step: [`Policy::step`] returns what shapes the graph of
/// that step, and steps that compare equal share one compiled graph. While a graph is built it is asked for each block:
/// [`Policy::block`] may add ops of its own and returns the block's rows. It never sees which model it runs in.
pub trait Policy: Debug + Send + Sync + 'static {
    /// What distinguishes the graph of one step from that of another: for routing, how many tokens each layer keeps.
    type Step: PartialEq + Debug + Send + Sync + 'static;

    /// Its name in requests.
    fn name(&self) -> &str;

    /// What shapes the graph of this step.
    fn step(&self, at: StepAt) -> Self::Step;

    /// The rows of one block of such a step. Ops that the policy needs to decide (scores, selections) are added to
    /// `graph`.
    fn block(&self, step: &Self::Step, graph: &mut Graph, at: BlockInput) -> Result<BlockRows>;

    /// Whether it can choose among some of the tokens, see [`Policy::block_among`].
    fn chooses_among(&self) -> bool {
        false
    }

    /// As [`Policy::block`] where a mask says which tokens a step may compute, see [`Masked`](super::Masked).
    fn block_among(&self, _step: &Self::Step, _graph: &mut Graph, _at: BlockInput, _among: Among) -> Result<BlockRows> {
        Err(Refusal::NotMasked { policy: self.label() }.into())
    }

    /// Tensors that its ops find stored, under these names: fixed rows, masks, tables. Asked for once, before the first
    /// step.
    fn tables(&self, _run: RunAt) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Its name, and what distinguishes it from others of that name.
    fn label(&self) -> String {
        self.name().to_owned()
    }

    /// The share of the tokens that each layer keeps, by region of the timesteps, where the policy has such a matrix.
    fn kept_ratios(&self) -> Option<&KeptRatios> {
        None
    }

    /// The share of a picture's `tokens` that such a step saves, the mean over the model's `layers`. None where the
    /// policy has no such share.
    fn saved(&self, _step: &Self::Step, _tokens: usize, _layers: usize) -> Option<f64> {
        None
    }

    /// What the caller should know about a run of these steps, though it is no error.
    fn warning(&self, _steps: &[&Self::Step], _tokens: usize) -> Option<Warning> {
        None
    }

    /// Whether it decides on the tokens that the block's self-attention sees, normalised and modulated. It then finds
    /// them in [`BlockInput::modulated`].
    fn sees_modulated(&self, _step: &Self::Step) -> bool {
        false
    }

    /// Which blocks such a step takes over from an earlier step, or keeps for later ones.
    fn span(&self, _step: &Self::Step, _layers: usize) -> Result<Span> {
        Ok(Span::Compute)
    }
}

/// A run, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct RunAt {
    /// The picture's token grid.
    pub grid: Grid,
    /// Samples B of the residual stream.
    pub samples: usize,
    /// The model's blocks.
    pub layers: usize,
}

/// A step, as a policy sees it before the run.
#[derive(Clone, Copy, Debug)]
pub struct StepAt {
    /// The step's number, from 0.
    pub index: usize,
    /// The number of steps.
    pub of: usize,
    /// The timestep, in training timesteps.
    pub timestep: f32,
    /// Tokens of the picture, N.
    pub tokens: usize,
}

/// A block, as a policy sees it while the graph is built.
#[derive(Clone, Copy, Debug)]
pub struct BlockInput {
    /// The block's number, from 0.
    pub layer: usize,
    /// The number of blocks.
    pub layers: usize,
    /// The residual stream `[B, N, C]` as it enters the block.
    pub stream: ValueId,
    /// The stream normalised and modulated, for a policy that [asks for it](Policy::sees_modulated).
    pub modulated: Option<ValueId>,
    /// The token grid; its rows times columns are N.
    pub grid: Grid,
    /// The step's row of the schedule, see [`crate::kernels::step_row`].
    pub step: ValueId,
}
