//! The timestep's embedding: a sinusoid, then two linear layers (diffusers `Timesteps` and `TimestepEmbedding`).

use super::layers::Linear;
use crate::Result;
use crate::graph::{Graph, ValueId};
use crate::kernels::{self, Activation, Timesteps};
use crate::loading::Scope;

/// Width of the sinusoid, in every model here.
const CHANNELS: usize = 256;

/// The two layers above the sinusoid.
#[derive(Clone, Debug)]
pub struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    sinusoid: kernels::TimestepEmbedding,
}

impl TimestepEmbedding {
    /// `name.linear_1` and `name.linear_2`. `shift` is diffusers' `downscale_freq_shift`.
    pub fn load(scope: &mut Scope<'_>, name: &str, width: usize, shift: f32) -> Result<Self> {
        let mut scope = scope.within(name);
        Ok(Self {
            linear_1: Linear::precise(&mut scope, "linear_1", CHANNELS, width)?,
            linear_2: Linear::precise(&mut scope, "linear_2", width, width)?,
            sinusoid: kernels::TimestepEmbedding {
                dim: CHANNELS,
                flip_sin_to_cos: true,
                downscale_freq_shift: shift,
                ..Default::default()
            },
        })
    }

    /// The embedding `[1, C]` of the step's timestep.
    pub fn of_step(&self, graph: &mut Graph, step: ValueId) -> Result<ValueId> {
        let waves = kernels::timestep_embedding(graph, Timesteps::Step(step), self.sinusoid)?;
        self.project(graph, waves)
    }

    /// The embeddings `[R, C]` of `values [R]`.
    pub fn of_values(&self, graph: &mut Graph, values: ValueId) -> Result<ValueId> {
        let waves = kernels::timestep_embedding(graph, Timesteps::Values(values), self.sinusoid)?;
        self.project(graph, waves)
    }

    fn project(&self, graph: &mut Graph, waves: ValueId) -> Result<ValueId> {
        let hidden = self.linear_1.forward(graph, waves, Activation::Silu)?;
        self.linear_2.forward(graph, hidden, Activation::None)
    }
}
