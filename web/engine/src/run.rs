//! A request under way, step by step: the caller owns the loop, so cancelling is not asking for the next step.

use foveate::pipelines::{LayerMerging, RunState, Viewer};
use foveate::{Gpu, Result, Tensor};
use wasm_bindgen::prelude::*;

use crate::Screen;
use crate::failure::{Thrown, failure};

/// A request under way.
#[wasm_bindgen]
pub struct Run {
    gpu: Gpu,
    run: foveate::Run,
    /// Where the picture fits the adapter whole.
    viewer: Option<Viewer>,
}

/// A step that was taken.
#[wasm_bindgen]
pub struct Step {
    /// Its number, from 0.
    #[wasm_bindgen(readonly)]
    pub index: usize,
    /// The timestep that the model was told.
    #[wasm_bindgen(readonly)]
    pub timestep: f32,
    /// Its floating-point operations.
    #[wasm_bindgen(readonly)]
    pub flops: f64,
}

/// Which tokens each layer of a step computed.
#[wasm_bindgen(getter_with_clone)]
pub struct TokenMap {
    /// Layers that route, or merge.
    #[wasm_bindgen(readonly)]
    pub layers: usize,
    /// Which they are, counted from 0.
    #[wasm_bindgen(readonly)]
    pub blocks: Vec<u32>,
    /// Tokens from left to right.
    #[wasm_bindgen(readonly)]
    pub columns: usize,
    /// Tokens from top to bottom.
    #[wasm_bindgen(readonly)]
    pub rows: usize,
    /// 1 where the token was kept: layer by layer, row by row.
    #[wasm_bindgen(readonly)]
    pub kept: Vec<u8>,
    /// The routers' scores in 0…1, likewise.
    #[wasm_bindgen(readonly)]
    pub scores: Vec<f32>,
}

impl Run {
    pub(crate) fn new(gpu: Gpu, run: foveate::Run, viewer: Option<Viewer>) -> Self {
        Self { gpu, run, viewer }
    }

    /// By layer: its number, 1 where a token was computed, and its score. Where tokens were merged, those that gave their group its row
    /// were computed, and there are no other scores.
    async fn computed(&self) -> Result<Vec<(usize, Tensor, Tensor)>> {
        let routed = self.run.routing().await?;
        if !routed.is_empty() {
            return Ok(routed.into_iter().enumerate().map(|(at, layer)| (at, layer.kept, layer.scores)).collect());
        }
        let mut layers = Vec::new();
        for LayerMerging { layer, destination } in self.run.merging().await? {
            let tokens = destination.shape.last().copied().unwrap_or(1);
            let own =
                destination.u32().iter().enumerate().map(|(at, &to)| f32::from(u8::from(to as usize == at % tokens)));
            let own = Tensor::new(&destination.shape, own.collect())?;
            layers.push((layer, own.clone(), own));
        }
        Ok(layers)
    }
}

#[wasm_bindgen]
impl Run {
    /// How many steps there are.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> usize {
        self.run.steps()
    }

    /// The policy at work.
    #[wasm_bindgen(getter)]
    pub fn policy(&self) -> String {
        self.run.policy().into()
    }

    /// Floating-point operations that a step would take if every token were computed.
    #[wasm_bindgen(getter, js_name = denseFlops)]
    pub fn dense_flops(&self) -> f64 {
        self.run.dense_flops_per_step() as f64
    }

    /// What the user should know, though it is no error: a truncated prompt.
    #[wasm_bindgen(getter)]
    pub fn warnings(&self) -> Vec<String> {
        self.run.warnings.clone()
    }

    /// The picture's width in pixels.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.run.size()[0]
    }

    /// The picture's height in pixels.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.run.size()[1]
    }

    /// Takes the next step and waits for it; nothing once all are taken.
    pub async fn step(&mut self) -> Thrown<Option<Step>> {
        let Some(step) = self.run.next_step() else { return Ok(None) };
        let taken = Step { index: step.index, timestep: step.timestep, flops: step.flops() as f64 };
        let mut encoder = self.gpu.encoder();
        step.encode(&mut encoder).map_err(failure)?;
        self.gpu.submit(encoder);
        self.gpu.wait().await.map_err(failure)?;
        Ok(Some(taken))
    }

    /// Which tokens the last step computed; nothing for a request that did not ask, or a policy that computes all.
    pub async fn tokens(&self) -> Thrown<Option<TokenMap>> {
        let layers = self.computed().await.map_err(failure)?;
        let Some((_, first, _)) = layers.first() else { return Ok(None) };
        let tokens = first.shape.last().copied().unwrap_or(0);
        let [width, height] = self.run.size();
        // Patches are square, so the grid has the picture's proportions.
        let columns = (tokens as f64 * width as f64 / height as f64).sqrt().round().max(1.0) as usize;
        let sample = self.run.conditional_sample(0) * tokens..(self.run.conditional_sample(0) + 1) * tokens;
        let (mut kept, mut scores) = (Vec::new(), Vec::new());
        for (_, of_layer, scored) in &layers {
            kept.extend(of_layer.f32()[sample.clone()].iter().map(|&kept| kept as u8));
            scores.extend_from_slice(&scored.f32()[sample.clone()]);
        }
        let blocks = layers.iter().map(|&(layer, ..)| layer as u32).collect();
        Ok(Some(TokenMap { layers: layers.len(), blocks, columns, rows: tokens / columns, kept, scores }))
    }

    /// Whether there are previews: a picture too large to be decoded whole has none.
    #[wasm_bindgen(getter, js_name = hasPreviews)]
    pub fn has_previews(&self) -> bool {
        self.viewer.is_some()
    }

    /// Draws the latents as they are on a canvas, on the device: nothing is read back.
    pub fn show(&self, screen: &mut Screen) -> Thrown<()> {
        let Some(viewer) = &self.viewer else { return Ok(()) };
        let texture = viewer.texture().map_err(failure)?;
        screen.draw(&self.gpu, &texture).map_err(failure)
    }

    /// The picture of the latents as they are, as RGBA bytes.
    pub async fn rgba(&self) -> Thrown<Vec<u8>> {
        if let Some(viewer) = &self.viewer {
            return viewer.rgba().await.map_err(failure);
        }
        let picture = self.run.decode().await.and_then(|pictures| pictures.rgb(0)).map_err(failure)?;
        Ok(picture.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 255]).collect())
    }

    /// Bytes of [`Run::state`].
    #[wasm_bindgen(getter, js_name = stateBytes)]
    pub fn state_bytes(&self) -> f64 {
        self.run.state_bytes() as f64
    }

    /// What a later run of the same request needs to go on from here.
    pub async fn state(&self) -> Thrown<Vec<f32>> {
        Ok(self.run.state().await.map_err(failure)?.values)
    }

    /// Goes on after `taken` steps with what [`Run::state`] told then.
    pub fn resume(&mut self, taken: usize, values: Vec<f32>) -> Thrown<()> {
        self.run.resume(&RunState { taken, values }).map_err(failure)
    }
}
