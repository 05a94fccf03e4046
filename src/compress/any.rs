//! A policy without its type: what requests become, and what models see of one step.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::{Among, BlockInput, BlockRows, KeptRatios, Policy, RunAt, Span, StepAt};
use crate::graph::Graph;
use crate::{Result, Tensor, Warning};

/// A policy of any type. Cloning shares it.
#[derive(Clone, Debug)]
pub struct AnyPolicy(Arc<dyn Untyped>);

/// A policy at one step. Two of them are equal where the graphs are the same.
#[derive(Clone, Debug)]
pub struct PolicyStep(Arc<dyn UntypedStep>);

/// All steps of a run under one policy.
#[derive(Clone, Debug)]
pub struct PolicySteps {
    /// The distinct ones, in the order of their first use.
    pub distinct: Vec<PolicyStep>,
    /// For each step of the run, which of them it is.
    pub of_step: Vec<usize>,
}

impl AnyPolicy {
    /// Forgets the policy's type.
    pub fn new(policy: impl Policy) -> Self {
        Self(Arc::new(Shared(Arc::new(policy))))
    }

    /// See [`Policy::name`].
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// See [`Policy::label`].
    pub fn label(&self) -> String {
        self.0.label()
    }

    /// See [`Policy::kept_ratios`].
    pub fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.0.kept_ratios()
    }

    /// See [`Policy::tables`].
    pub fn tables(&self, run: RunAt) -> Result<Vec<(String, Tensor)>> {
        self.0.tables(run)
    }

    /// The policy at one step.
    pub fn step(&self, at: StepAt) -> PolicyStep {
        self.0.step(at)
    }

    /// The policy at steps of these timesteps, for a picture of so many tokens.
    pub fn steps(&self, timesteps: &[f32], tokens: usize) -> PolicySteps {
        let (mut distinct, mut of_step): (Vec<PolicyStep>, Vec<usize>) = (Vec::new(), Vec::new());
        for (index, &timestep) in timesteps.iter().enumerate() {
            let step = self.step(StepAt { index, of: timesteps.len(), timestep, tokens });
            of_step.push(distinct.iter().position(|known| *known == step).unwrap_or(distinct.len()));
            if of_step[index] == distinct.len() {
                distinct.push(step);
            }
        }
        PolicySteps { distinct, of_step }
    }

    /// See [`Policy::chooses_among`].
    pub fn chooses_among(&self) -> bool {
        self.0.chooses_among()
    }

    /// See [`Policy::warning`].
    pub fn warning(&self, steps: &[PolicyStep], tokens: usize) -> Option<Warning> {
        self.0.warning(steps, tokens)
    }
}

impl PolicySteps {
    /// Of each distinct step the share of all steps that are like it.
    pub fn shares(&self) -> Vec<f64> {
        let steps = self.of_step.len().max(1) as f64;
        let share = |step| self.of_step.iter().filter(|&&of| of == step).count() as f64 / steps;
        (0..self.distinct.len()).map(share).collect()
    }
}

impl PolicyStep {
    /// The policy's name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// See [`Policy::block`].
    pub fn block(&self, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        self.0.block(graph, at)
    }

    /// See [`Policy::block_among`].
    pub fn block_among(&self, graph: &mut Graph, at: BlockInput, among: Among) -> Result<BlockRows> {
        self.0.block_among(graph, at, among)
    }

    /// See [`Policy::saved`].
    pub fn saved(&self, tokens: usize, layers: usize) -> Option<f64> {
        self.0.saved(tokens, layers)
    }

    /// See [`Policy::sees_modulated`].
    pub fn sees_modulated(&self) -> bool {
        self.0.sees_modulated()
    }

    /// See [`Policy::span`].
    pub fn span(&self, layers: usize) -> Result<Span> {
        self.0.span(layers)
    }
}

impl PartialEq for PolicyStep {
    fn eq(&self, other: &Self) -> bool {
        self.0.same(other.0.any())
    }
}

/// [`Policy`] without its associated type.
trait Untyped: Debug + Send + Sync {
    fn name(&self) -> &str;
    fn label(&self) -> String;
    fn kept_ratios(&self) -> Option<&KeptRatios>;
    fn tables(&self, run: RunAt) -> Result<Vec<(String, Tensor)>>;
    fn chooses_among(&self) -> bool;
    fn step(&self, at: StepAt) -> PolicyStep;
    fn warning(&self, steps: &[PolicyStep], tokens: usize) -> Option<Warning>;
}

/// A policy and one of its steps, without their types.
trait UntypedStep: Debug + Send + Sync {
    fn name(&self) -> &str;
    fn block(&self, graph: &mut Graph, at: BlockInput) -> Result<BlockRows>;
    fn block_among(&self, graph: &mut Graph, at: BlockInput, among: Among) -> Result<BlockRows>;
    fn saved(&self, tokens: usize, layers: usize) -> Option<f64>;
    fn sees_modulated(&self) -> bool;
    fn span(&self, layers: usize) -> Result<Span>;
    fn same(&self, other: &dyn Any) -> bool;
    fn any(&self) -> &dyn Any;
}

#[derive(Debug)]
struct Shared<P>(Arc<P>);

#[derive(Debug)]
struct At<P: Policy> {
    policy: Arc<P>,
    step: P::Step,
}

impl<P: Policy> Untyped for Shared<P> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn label(&self) -> String {
        self.0.label()
    }

    fn kept_ratios(&self) -> Option<&KeptRatios> {
        self.0.kept_ratios()
    }

    fn tables(&self, run: RunAt) -> Result<Vec<(String, Tensor)>> {
        self.0.tables(run)
    }

    fn chooses_among(&self) -> bool {
        self.0.chooses_among()
    }

    fn step(&self, at: StepAt) -> PolicyStep {
        PolicyStep(Arc::new(At { policy: self.0.clone(), step: self.0.step(at) }))
    }

    fn warning(&self, steps: &[PolicyStep], tokens: usize) -> Option<Warning> {
        let own = steps.iter().filter_map(|step| step.0.any().downcast_ref::<At<P>>());
        self.0.warning(&own.map(|at| &at.step).collect::<Vec<_>>(), tokens)
    }
}

impl<P: Policy> UntypedStep for At<P> {
    fn name(&self) -> &str {
        self.policy.name()
    }

    fn block(&self, graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        self.policy.block(&self.step, graph, at)
    }

    fn block_among(&self, graph: &mut Graph, at: BlockInput, among: Among) -> Result<BlockRows> {
        self.policy.block_among(&self.step, graph, at, among)
    }

    fn saved(&self, tokens: usize, layers: usize) -> Option<f64> {
        self.policy.saved(&self.step, tokens, layers)
    }

    fn sees_modulated(&self) -> bool {
        self.policy.sees_modulated(&self.step)
    }

    fn span(&self, layers: usize) -> Result<Span> {
        self.policy.span(&self.step, layers)
    }

    fn same(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self.step == other.step)
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Dense;

    #[test]
    fn steps_weigh_as_often_as_they_are_taken() {
        let step = AnyPolicy::new(Dense).step(StepAt { index: 0, of: 1, timestep: 0.0, tokens: 1 });
        let steps =
            PolicySteps { distinct: vec![step.clone(), step.clone(), step], of_step: vec![0, 0, 1, 2, 2, 2, 2, 1] };
        assert_eq!(steps.shares(), [0.25, 0.25, 0.5]);
    }
}
