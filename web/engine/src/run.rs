//! A request under way, step by step: the caller owns the loop, so cancelling is not asking for the next step.

use foveate::{Device, LayerTrace, RunState, Traced, Viewer, Warning};
use wasm_bindgen::prelude::*;

use crate::Screen;
use crate::failure::{Thrown, failure};

/// A request under way.
#[wasm_bindgen]
pub struct Run {
    device: Device,
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
    /// 1 where the token was computed by itself: layer by layer, row by row.
    #[wasm_bindgen(readonly)]
    pub kept: Vec<u8>,
    /// The routers' scores in 0…1, likewise; where tokens merge, as `kept`.
    #[wasm_bindgen(readonly)]
    pub scores: Vec<f32>,
}

impl Run {
    pub(crate) fn new(device: Device, run: foveate::Run, viewer: Option<Viewer>) -> Self {
        Self { device, run, viewer }
    }
}

#[wasm_bindgen]
impl Run {
    /// How many steps there are.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> usize {
        self.run.steps()
    }

    /// The name of the policy at work.
    #[wasm_bindgen(getter)]
    pub fn policy(&self) -> String {
        self.run.policy().into()
    }

    /// The diffusers class of its scheduler.
    #[wasm_bindgen(getter)]
    pub fn scheduler(&self) -> String {
        self.run.scheduler().into()
    }

    /// Floating-point operations that a step would take if every token were computed.
    #[wasm_bindgen(getter, js_name = denseFlops)]
    pub fn dense_flops(&self) -> f64 {
        self.run.dense_flops_per_step() as f64
    }

    /// What the user should know, though it is no error: a truncated prompt.
    #[wasm_bindgen(getter)]
    pub fn warnings(&self) -> Vec<String> {
        self.run.warnings.iter().map(Warning::to_string).collect()
    }

    /// The picture's width in pixels.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.run.size().width
    }

    /// The picture's height in pixels.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.run.size().height
    }

    /// Takes the next step and waits for it; nothing once all are taken.
    pub async fn step(&mut self) -> Thrown<Option<Step>> {
        let Some(step) = self.run.next_step() else { return Ok(None) };
        let taken = Step { index: step.index, timestep: step.timestep, flops: step.flops() as f64 };
        step.run_to_end().await.map_err(failure)?;
        Ok(Some(taken))
    }

    /// Which tokens the last step computed; nothing for a request that did not ask, or a policy that computes all.
    pub async fn tokens(&self) -> Thrown<Option<TokenMap>> {
        let trace = self.run.trace().await.map_err(failure)?;
        if trace.is_empty() {
            return Ok(None);
        }
        let grid = self.run.grid();
        let first = self.run.conditional_sample(0) * grid.tokens();
        let sample = first..first + grid.tokens();
        let (mut kept, mut scores) = (Vec::new(), Vec::new());
        for LayerTrace { tokens, .. } in &trace {
            let computed = tokens.computed().map_err(failure)?;
            let computed = &computed.f32()[sample.clone()];
            kept.extend(computed.iter().map(|&kept| kept as u8));
            scores.extend_from_slice(match tokens {
                Traced::Kept { scores, .. } => &scores.f32()[sample.clone()],
                Traced::Merged { .. } => computed,
            });
        }
        let blocks = trace.iter().map(|layer| layer.layer as u32).collect();
        Ok(Some(TokenMap { layers: trace.len(), blocks, columns: grid.columns, rows: grid.rows, kept, scores }))
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
        let gpu = self.device.gpu("a canvas").map_err(failure)?;
        screen.draw(gpu, &texture).map_err(failure)
    }

    /// The picture of the latents as they are, as RGBA bytes.
    pub async fn rgba(&self) -> Thrown<Vec<u8>> {
        if let Some(viewer) = &self.viewer {
            // Of the picture alone: a preview may be of anything. Decoding asks it itself.
            if self.run.taken() == self.run.steps() {
                self.run.check().await.map_err(failure)?;
            }
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
    pub async fn state(&self) -> Thrown<Vec<u32>> {
        Ok(self.run.state().await.map_err(failure)?.words)
    }

    /// What runs of the same request have in common.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> u64 {
        self.run.fingerprint()
    }

    /// Goes on after `taken` steps with what [`Run::state`] and [`Run::fingerprint`] told then.
    pub fn resume(&mut self, taken: usize, words: Vec<u32>, fingerprint: u64) -> Thrown<()> {
        self.run.resume(&RunState { taken, words, fingerprint }).map_err(failure)
    }
}
