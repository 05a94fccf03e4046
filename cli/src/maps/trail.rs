//! What the routers of a run did, step by step, kept on the host.

use foveate::Tensor;

/// What the router of one layer did.
#[derive(Debug)]
pub struct Routing {
    /// The sigmoid of its logits, `[B, N]`.
    pub scores: Tensor,
    /// 1 where it kept the token, else 0, `[B, N]`.
    pub kept: Tensor,
}

/// One step.
#[derive(Debug)]
pub struct StepTrail {
    pub timestep: f32,
    pub layers: Vec<Routing>,
}

/// All steps so far.
#[derive(Debug, Default)]
pub struct Trail(pub Vec<StepTrail>);

impl Trail {
    /// Steps and layers.
    pub fn size(&self) -> [usize; 2] {
        [self.0.len(), self.0.first().map_or(0, |step| step.layers.len())]
    }

    /// For each token of a sample: how many pairs of layer and step kept it.
    pub fn touched(&self, sample: usize) -> Vec<f32> {
        let layers = || self.0.iter().flat_map(|step| &step.layers);
        let tokens = layers().next().map_or(0, |layer| of_sample(&layer.kept, sample).len());
        let mut counts = vec![0.0; tokens];
        for layer in layers() {
            counts.iter_mut().zip(of_sample(&layer.kept, sample)).for_each(|(count, kept)| *count += kept);
        }
        counts
    }
}

/// The row `[N]` of one sample in a tensor `[B, N]`.
pub fn of_sample(tensor: &Tensor, sample: usize) -> &[f32] {
    let tokens = tensor.shape.last().copied().unwrap_or(0);
    tensor.f32().get(sample * tokens..(sample + 1) * tokens).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_layer_and_step_counts_once() {
        let layer = |kept: [f32; 6]| Routing {
            scores: Tensor::new(&[2, 3], vec![0.5; 6]).unwrap(),
            kept: Tensor::new(&[2, 3], kept.to_vec()).unwrap(),
        };
        let step = |layers| StepTrail { timestep: 0.0, layers };
        let trail = Trail(vec![
            step(vec![layer([1.0, 0.0, 0.0, 1.0, 1.0, 1.0]), layer([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])]),
            step(vec![layer([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), layer([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])]),
        ]);
        assert_eq!(trail.size(), [2, 2]);
        assert_eq!((trail.touched(0), trail.touched(1)), (vec![4.0, 2.0, 0.0], vec![1.0, 3.0, 1.0]));
        assert_eq!((Trail::default().size(), Trail::default().touched(0)), ([0, 0], vec![]));
    }
}
