//! What a traced run tells of its policy: which tokens each layer of the last step kept and how they scored, or which
//! tokens shared a row.

use super::denoise::Run;
use crate::compress::{destination_layer, place_name, scores_name};
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

/// One layer's merging in one step.
#[derive(Clone, Debug)]
pub struct LayerMerging {
    /// Which layer.
    pub layer: usize,
    /// The token whose row each token shared, itself where it had its own, `[B, N]` indices.
    pub destination: Tensor,
}

impl Run {
    /// The merging of the last step, of the layers that merged, after it was submitted. Of runs whose request was `traced`.
    pub async fn merging(&self) -> Result<Vec<LayerMerging>> {
        let mut layers = Vec::new();
        for name in self.last_stored() {
            if let Some(layer) = destination_layer(name) {
                layers.push(LayerMerging { layer, destination: self.read(name).await? });
            }
        }
        Ok(layers)
    }

    /// The routing of the last step, layer by layer, after it was submitted. Of runs whose request was `traced`; others
    /// have none, nor has a run before its first step, and one that was resumed has those that it computed since. Of a layer that a step cache skipped it is that of the step whose
    /// result was reused.
    pub async fn routing(&self) -> Result<Vec<LayerRouting>> {
        let mut layers = Vec::new();
        while self.has(&scores_name(layers.len())) {
            let scores = self.read(&scores_name(layers.len())).await?;
            let place = self.read(&place_name(layers.len())).await?;
            let kept = place.u32().iter().map(|&at| if at == NOTHING { 0.0 } else { 1.0 }).collect();
            layers.push(LayerRouting { scores, kept: Tensor::new(&place.shape, kept)? });
        }
        Ok(layers)
    }
}
