//! What a traced run tells of its routing: which tokens each layer of the last step kept, and how they scored.

use super::denoise::Run;
use crate::compress::{place_name, scores_name};
use crate::kernels::NOTHING;
use crate::{Result, Tensor};

/// One layer's routing in one step.
#[derive(Clone, Debug)]
pub struct LayerRouting {
    /// sigmoid of the router's logits, `[B, N]`.
    pub scores: Tensor,
    /// 1 where the token was kept, 0 where it went past the layer, `[B, N]`.
    pub kept: Tensor,
}

impl Run {
    /// The routing of the last step, layer by layer, after it was submitted. Of runs whose request was `traced`; others
    /// have none, nor has a run before its first step.
    pub async fn routing(&self) -> Result<Vec<LayerRouting>> {
        let mut layers = Vec::new();
        while self.taken() > 0 && self.has(&scores_name(layers.len())) {
            let scores = self.read(&scores_name(layers.len())).await?;
            let place = self.read(&place_name(layers.len())).await?;
            let kept = place.u32().iter().map(|&at| if at == NOTHING { 0.0 } else { 1.0 }).collect();
            layers.push(LayerRouting { scores, kept: Tensor::new(&place.shape, kept)? });
        }
        Ok(layers)
    }
}
