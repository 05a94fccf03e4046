//! A request under way, step by step: the caller owns the loop, so cancelling is not asking for the next step.

use foveate::{Device, LayerTrace, Result, RunState, Traced, Viewer, Warning};
use image::RgbImage;
use wasm_bindgen::prelude::*;

use crate::beginning::Placed;
use crate::failure::{Thrown, failure};
use crate::picture::rgb;
use crate::{Picture, Screen};

/// A request under way.
#[wasm_bindgen]
pub struct Run {
    device: Device,
    run: foveate::Run,
    shows: Shows,
    /// The picture that it began with.
    placed: Option<Placed>,
    /// What its picture says.
    said: Vec<(&'static str, String)>,
}

/// How previews are decoded.
pub(crate) enum Shows {
    /// All of the picture.
    Whole(Box<Viewer>),
    /// The part that is drawn: the rest is known.
    Part,
    /// Not at all: the adapter cannot hold the picture whole.
    Nothing,
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
    pub(crate) fn new(
        device: Device,
        run: foveate::Run,
        shows: Shows,
        placed: Option<Placed>,
        said: Vec<(&'static str, String)>,
    ) -> Self {
        Self { device, run, shows, placed, said }
    }

    /// The canvas as it is, as RGBA bytes.
    async fn canvas(&self, viewer: &Viewer) -> Result<Vec<u8>> {
        // Of the picture alone: a preview may be of anything. Decoding asks it itself.
        if self.run.taken() == self.run.steps() {
            self.run.check().await?;
        }
        viewer.rgba().await
    }

    /// What was drawn so far, as `put` puts it into the picture that it began with.
    async fn drawn(&self, put: impl Fn(&Placed, &RgbImage) -> RgbImage) -> Result<Picture> {
        let size = self.run.size();
        let canvas = match (&self.shows, &self.placed) {
            (Shows::Whole(viewer), None) => return Ok(Picture::new(size, self.canvas(viewer).await?)),
            (Shows::Whole(viewer), _) => rgb(size.width, size.height, &self.canvas(viewer).await?)?,
            _ => self.run.decode().await?.rgb(0)?,
        };
        Ok(match &self.placed {
            Some(placed) => put(placed, &canvas).into(),
            None => canvas.into(),
        })
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

    /// What its picture says, by name, one after the other: what the command line writes.
    #[wasm_bindgen(getter, unchecked_return_type = "[string, string][]")]
    pub fn said(&self) -> js_sys::Array {
        let pair = |(key, text): &(&str, String)| js_sys::Array::of2(&(*key).into(), &text.as_str().into());
        self.said.iter().map(pair).collect()
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

    /// Where the token grid lies on the picture: left, top, width and height in shares of its sides.
    #[wasm_bindgen(getter)]
    pub fn area(&self) -> Vec<f64> {
        self.placed.as_ref().map_or([0.0, 0.0, 1.0, 1.0], Placed::area).into()
    }

    /// Whether there are previews: a picture too large to be decoded whole has none.
    #[wasm_bindgen(getter, js_name = hasPreviews)]
    pub fn has_previews(&self) -> bool {
        !matches!(self.shows, Shows::Nothing)
    }

    /// Draws the latents as they are on a canvas, on the device, and returns whether it did. What is put into another
    /// picture is not: it is read back.
    pub fn show(&self, screen: &mut Screen) -> Thrown<bool> {
        let (Shows::Whole(viewer), None) = (&self.shows, &self.placed) else { return Ok(false) };
        let texture = viewer.texture().map_err(failure)?;
        let gpu = self.device.gpu("a canvas").map_err(failure)?;
        screen.draw(gpu, &texture).map_err(failure)?;
        Ok(true)
    }

    /// What the latents look like as they are: in the picture that they belong to, which may be smaller here.
    pub async fn preview(&self) -> Thrown<Picture> {
        self.drawn(Placed::preview).await.map_err(failure)
    }

    /// The picture.
    pub async fn picture(&self) -> Thrown<Picture> {
        self.drawn(Placed::finished).await.map_err(failure)
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
