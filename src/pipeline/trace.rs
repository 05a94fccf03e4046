//! What a traced run records of its policy: which tokens each layer of the last step kept, or which tokens shared a
//! row.

use super::run::Run;
use crate::compress::trace::{destination_layer, place_name, scores_name};
use crate::graph::{Graph, Home};
use crate::kernels::NOTHING;
use crate::shared::lock;
use crate::{Result, Tensor};

/// What a policy did in one layer of the last step.
#[derive(Clone, Debug)]
pub struct LayerTrace {
    /// The layer.
    pub layer: usize,
    /// What became of its tokens.
    pub tokens: Traced,
}

/// What became of the tokens of a layer. Rows are samples: see [`Run::conditional_sample`].
#[derive(Clone, Debug)]
pub enum Traced {
    /// Each was kept or went past the layer.
    Kept {
        /// 1 where the token was kept, else 0, `[B, N]`.
        kept: Tensor,
        /// The sigmoid of the router's logits, `[B, N]`.
        scores: Tensor,
    },
    /// Each had a row of its own or shared another's.
    Merged {
        /// The token whose row each token shared, itself where it had its own, `[B, N]` indices.
        destination: Tensor,
    },
}

impl Traced {
    /// 1 where a token was computed by itself, else 0, `[B, N]`.
    pub fn computed(&self) -> Result<Tensor> {
        match self {
            Self::Kept { kept, .. } => Ok(kept.clone()),
            Self::Merged { destination } => {
                let tokens = destination.shape.last().copied().unwrap_or(1).max(1);
                let own = destination.u32().iter().enumerate();
                let own = own.map(|(at, &to)| f32::from(u8::from(to as usize == at % tokens)));
                Tensor::new(&destination.shape, own.collect())
            }
        }
    }
}

impl Run {
    /// What the policy did in the last step, after it was run: layer by layer, of layers that route or merge. Empty for
    /// a request that was not `traced`, and before the first step. Of a layer that a step cache skipped, a routing
    /// trace is that of the step whose result was reused. Fails in the middle of a step.
    pub async fn trace(&self) -> Result<Vec<LayerTrace>> {
        lock(&self.handed).check_between_steps()?;
        let mut layers = Vec::new();
        let traced = |layer: &usize| self.shows(&scores_name(*layer)) && self.shows(&place_name(*layer));
        for layer in (0..self.layers).filter(traced) {
            let scores = self.read(&scores_name(layer)).await?;
            let place = self.read(&place_name(layer)).await?;
            let kept = place.u32().iter().map(|&at| if at == NOTHING { 0.0 } else { 1.0 }).collect();
            let kept = Tensor::new(&place.shape, kept)?;
            layers.push(LayerTrace { layer, tokens: Traced::Kept { kept, scores } });
        }
        for name in self.last_stored() {
            if let Some(layer) = destination_layer(name) {
                let destination = self.read(name).await?;
                layers.push(LayerTrace { layer, tokens: Traced::Merged { destination } });
            }
        }
        Ok(layers)
    }

    /// Whether the stored value of this name belongs to the last step: the step wrote it, or takes over the layer that
    /// did.
    fn shows(&self, name: &str) -> bool {
        let stores = |plan: usize| stored_names(&self.graphs[plan]).any(|stored| stored == name);
        match self.plan_of[self.since..self.at] {
            [] => false,
            [.., last] if stores(last) || !self.reuses[last] => stores(last),
            [ref earlier @ .., _] => earlier.iter().any(|&plan| stores(plan)),
        }
    }

    /// The stored values that the last step touched. None before the first step.
    fn last_stored(&self) -> impl Iterator<Item = &str> {
        let last = self.plan_of[self.since..self.at].last();
        last.into_iter().flat_map(|&plan| stored_names(&self.graphs[plan]))
    }
}

fn stored_names(graph: &Graph) -> impl Iterator<Item = &str> {
    graph.values().iter().filter(|value| value.home == Home::Stored).map(|value| value.name.as_str())
}
