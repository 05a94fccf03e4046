//! A policy under test: the graphs of its steps, and how many of a picture's steps each stands for.

use foveate::Result;
use foveate::compress::AnyPolicy;
use foveate::low_level::graph::Graph;
use foveate::models::Given;

use super::subject::Subject;

/// One policy's steps.
#[derive(Debug)]
pub struct Candidate {
    pub policy: String,
    /// Share of the tokens saved, the mean over layers and steps, after rounding to tokens; none for dense.
    pub ratio: Option<f64>,
    /// Floating-point operations of a step, the mean over all steps.
    pub flops: f64,
    /// Of each distinct step the share of all steps that are like it.
    pub shares: Vec<f64>,
}

impl Candidate {
    /// The policy on this subject, and the graph of each distinct step. `given` is what every step finds stored.
    pub fn new(subject: &Subject, given: &Given, policy: &AnyPolicy) -> Result<(Self, Vec<Graph>)> {
        let (tokens, layers) = (subject.grid.tokens(), subject.transformer.sizes().layers);
        let steps = policy.steps(&subject.timesteps, tokens);
        let (shares, distinct) = (steps.shares(), steps.distinct);
        let graphs = distinct.iter().map(|step| subject.transformer.step(subject.size, given, step));
        let graphs = graphs.collect::<Result<Vec<_>>>()?;
        let saved: Option<Vec<f64>> = distinct.iter().map(|step| step.saved(tokens, layers)).collect();
        let flops: Vec<f64> = graphs.iter().map(|graph| graph.flops() as f64).collect();
        let candidate = Self {
            policy: policy.label(),
            ratio: saved.map(|saved| mean(&saved, &shares)),
            flops: mean(&flops, &shares),
            shares,
        };
        Ok((candidate, graphs))
    }
}

/// The mean over all steps, of one value for each distinct step.
pub fn mean(values: &[f64], shares: &[f64]) -> f64 {
    values.iter().zip(shares).map(|(value, share)| value * share).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_weigh_as_often_as_they_are_taken() {
        assert_eq!(mean(&[4.0, 8.0, 1.0], &[0.25, 0.25, 0.5]), 3.5);
        assert_eq!(mean(&[4.0], &[1.0]), 4.0);
    }
}
