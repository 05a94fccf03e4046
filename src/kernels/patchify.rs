//! Latents to tokens: what a patch-embedding convolution reads, as rows for a matrix product.

use super::scheduler_step::step_row;
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("patchify");

params! {
    /// Uniform of `patchify.wgsl`.
    struct Params { count: u32, latents: u32, channels: u32, height: u32, width: u32, side: u32, factor: u32 }
}

#[derive(Debug)]
struct Patchify {
    latents: ValueId,
    /// L, Cin, H and W.
    extent: [usize; 4],
    patch: usize,
    step: Option<ValueId>,
    out: ValueId,
}

/// `latents [L, Cin, H, W]` as tokens `[batch, (H/p)·(W/p), Cin·p·p]` in raster order, their features in order
/// (c, py, px). Sample b shows latents b mod L, so that guidance doubles the batch without copying. Multiplied by the
/// input scale of `step [16]` where it is given. With p = 1 this makes rows of channels from any NCHW tensor.
pub fn patchify(
    graph: &mut Graph,
    latents: ValueId,
    patch: usize,
    batch: usize,
    step: Option<ValueId>,
) -> Result<ValueId> {
    let op = SHADER.name;
    let extent @ [count, channels, height, width] = graph.dims(op, latents)?;
    if patch == 0 || !height.is_multiple_of(patch) || !width.is_multiple_of(patch) {
        return Err(Error::shape(op, format!("{height}×{width} latents do not divide into patches of {patch}")));
    }
    if batch == 0 || count == 0 || !batch.is_multiple_of(count) {
        return Err(Error::shape(op, format!("{batch} samples cannot show {count} latents equally often")));
    }
    if let Some(step) = step {
        graph.expect(op, step, &[step_row::LEN])?;
    }
    let tokens = (height / patch).saturating_mul(width / patch);
    let out = graph.transient("tokens", &[batch, tokens, channels.saturating_mul(patch).saturating_mul(patch)]);
    graph.push(Patchify { latents, extent, patch, step, out });
    Ok(out)
}

impl Op for Patchify {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.latents).read(self.step).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let [latents, channels, height, width] = self.extent.map(|d| d as u32);
        let (side, factor) = (self.patch as u32, step_row::INPUT_SCALE as u32);
        let params = Params { count: count as u32, latents, channels, height, width, side, factor };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.constant("SCALED", self.step.is_some())])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let ([count, channels, height, width], p) = (self.extent, self.patch);
        let latents = host.f32(self.latents);
        let scale = self.step.map_or(1.0, |step| host.f32(step)[step_row::INPUT_SCALE]);
        let mut out = Vec::new();
        for sample in 0..graph.shape(self.out)[0] {
            for (top, left) in (0..height / p).flat_map(|y| (0..width / p).map(move |x| (y * p, x * p))) {
                for channel in (0..channels).map(|c| sample % count * channels + c) {
                    for (py, px) in (0..p).flat_map(|py| (0..p).map(move |px| (py, px))) {
                        out.push(scale * latents[(channel * height + top + py) * width + left + px]);
                    }
                }
            }
        }
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::reference;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for (latents, channels, height, width, patch, batch) in
            [(1, 1, 1, 1, 1, 1), (1, 4, 6, 10, 2, 2), (2, 3, 5, 7, 1, 4), (3, 4, 9, 6, 3, 3), (1, 16, 8, 12, 4, 3)]
        {
            let mut case = Case::new();
            let input = case.input("latents", &[latents, channels, height, width]);
            let step = case.input("step", &[step_row::LEN]);
            patchify(&mut case.graph, input, patch, batch, None).unwrap();
            patchify(&mut case.graph, input, patch, batch, Some(step)).unwrap();
            case.agrees(1e-7);
        }
    }

    #[test]
    fn features_lie_as_in_a_convolution_weight() {
        let mut case = Case::new();
        let input = case.input_of("latents", &[1, 2, 2, 4], (0..16).map(|i| i as f32).collect());
        let out = patchify(&mut case.graph, input, 2, 2, None).unwrap();
        assert_eq!(case.graph.shape(out), [2, 2, 8]);
        let host = reference::run(&case.graph, &case.stored).unwrap();
        let (first, second) = ([0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]);
        let expected: Vec<_> = [first, second, first, second].concat().iter().map(|&v| v as f32).collect();
        assert_eq!(host.f32(out), expected);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let input = case.input("latents", &[2, 4, 6, 8]);
        let step = case.input("step", &[12]);
        for (patch, batch, step, message) in [
            (4, 2, None, "6×8 latents do not divide into patches of 4"),
            (0, 2, None, "6×8 latents do not divide into patches of 0"),
            (2, 3, None, "3 samples cannot show 2 latents equally often"),
            (2, 2, Some(step), "step has shape [12], expected [16]"),
        ] {
            let error = patchify(&mut case.graph, input, patch, batch, step).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
