//! A policy under test: the graphs of its steps, and how many of a picture's steps each stands for.

use foveate::Result;
use foveate::compress::{Policy, StepPolicy};
use foveate::graph::Graph;

use super::subject::Subject;

/// One policy's steps.
#[derive(Debug)]
pub struct Candidate {
    pub policy: String,
    /// Share of the tokens saved, the mean over layers and steps, after rounding to tokens; none for dense.
    pub ratio: Option<f64>,
    /// Floating-point operations of a step, the mean over all steps.
    pub flops: f64,
    /// Of each variant the share of the steps that take it.
    pub shares: Vec<f64>,
}

impl Candidate {
    /// The policy on this subject, and the graph of each variant.
    pub fn new(subject: &Subject, policy: &dyn Policy) -> Result<(Self, Vec<Graph>)> {
        let tokens = subject.tokens();
        let (variants, variant_of) = policy.variants(&subject.timesteps, tokens);
        let shares = shares(&variant_of, variants.len());
        let mut graphs = Vec::new();
        for variant in &variants {
            graphs.push(subject.backbone.step(subject.size, StepPolicy { policy, variant })?);
        }
        let saved: Option<Vec<f64>> = variants.iter().map(|variant| policy.saved(variant, tokens)).collect();
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

/// The mean of one value per variant over all steps.
pub fn mean(values: &[f64], shares: &[f64]) -> f64 {
    values.iter().zip(shares).map(|(value, share)| value * share).sum()
}

fn shares(variant_of: &[usize], variants: usize) -> Vec<f64> {
    let steps = variant_of.len().max(1) as f64;
    (0..variants).map(|variant| variant_of.iter().filter(|&&of| of == variant).count() as f64 / steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_weigh_what_their_steps_do() {
        let shares = shares(&[0, 0, 1, 2, 2, 2, 2, 1], 3);
        assert_eq!(shares, [0.25, 0.25, 0.5]);
        assert_eq!(mean(&[4.0, 8.0, 1.0], &shares), 3.5);
        assert_eq!(mean(&[4.0], &super::shares(&[0; 20], 1)), 4.0);
    }
}
