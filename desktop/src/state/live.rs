//! The picture under way: how far it is, how long it will take, and what its policy has computed.

use foveate::Grid;
use image::RgbImage;

use crate::engine::Traced;

/// A running job, as far as it was told of.
#[derive(Clone, Debug)]
pub struct Live {
    /// Whose it is.
    pub job: u64,
    /// Steps, once the run is prepared.
    pub steps: usize,
    /// Steps that are done.
    pub done: usize,
    /// Seconds of those.
    pub seconds: f64,
    /// The token grid.
    pub grid: Option<Grid>,
    /// The latest preview, and how many there were.
    pub preview: Option<(RgbImage, u64)>,
    /// What was computed.
    pub computed: Computed,
}

/// What a policy computed so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Computed {
    /// For each step that was traced, the share of the tokens that each layer computed.
    pub layers: Vec<Vec<f32>>,
    /// The sum over those steps of each token's share of layers.
    tokens: Vec<f32>,
}

impl Live {
    /// A job that has just begun.
    pub fn new(job: u64) -> Self {
        Self { job, steps: 0, done: 0, seconds: 0.0, grid: None, preview: None, computed: Computed::default() }
    }

    /// Takes in a step.
    pub fn step(&mut self, index: usize, seconds: f64, preview: Option<RgbImage>, traced: Option<Traced>) {
        self.done = index + 1;
        self.seconds += seconds;
        if let Some(preview) = preview {
            let count = self.preview.as_ref().map_or(0, |(_, count)| count + 1);
            self.preview = Some((preview, count));
        }
        if let Some(traced) = traced {
            self.computed.add(traced);
        }
    }

    /// Seconds that are left, by the mean of the steps so far.
    pub fn seconds_left(&self) -> Option<f64> {
        (self.done > 0).then(|| self.seconds / self.done as f64 * self.steps.saturating_sub(self.done) as f64)
    }
}

impl Computed {
    fn add(&mut self, traced: Traced) {
        self.tokens.resize(traced.tokens.len(), 0.0);
        self.tokens.iter_mut().zip(&traced.tokens).for_each(|(sum, share)| *sum += share);
        self.layers.push(traced.layers);
    }

    /// How often each token was computed, in 0…1.
    pub fn tokens(&self) -> Vec<f32> {
        let steps = self.layers.len().max(1) as f32;
        self.tokens.iter().map(|sum| sum / steps).collect()
    }

    /// The share of all tokens in all layers and steps that was computed.
    pub fn share(&self) -> Option<f32> {
        let tokens = self.tokens();
        (!tokens.is_empty()).then(|| tokens.iter().sum::<f32>() / tokens.len() as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_computed_is_the_mean_of_the_steps() {
        let mut live = Live { steps: 4, ..Live::new(1) };
        assert_eq!((live.seconds_left(), live.computed.share()), (None, None));
        let traced = |tokens: [f32; 2]| Some(Traced { layers: vec![1.0, 0.5], tokens: tokens.to_vec() });
        live.step(0, 1.0, None, traced([1.0, 0.0]));
        live.step(1, 3.0, None, traced([1.0, 1.0]));
        assert_eq!(live.seconds_left(), Some(4.0));
        assert_eq!(live.computed.tokens(), [1.0, 0.5]);
        assert_eq!(live.computed.share(), Some(0.75));
        assert_eq!(live.computed.layers.len(), 2);
    }
}
