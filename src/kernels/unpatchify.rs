//! Tokens to latents: the last op of a diffusion transformer.

use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Grid, Result};

pub(super) static SHADER: Shader = shader!("unpatchify");

params! {
    /// Uniform of `unpatchify.wgsl`.
    struct Params { count: u32, channels: u32, height: u32, width: u32, side: u32 }
}

#[derive(Debug)]
struct Unpatchify {
    tokens: ValueId,
    patch: usize,
    out: ValueId,
}

/// `tokens [B, h·w, p·p·Cout]`, their features in order (py, px, c), as `[B, Cout, h·p, w·p]`. `grid` is `[h, w]`.
/// The order of features is not [`patchify`](super::patchify)'s: each is what its end of the checkpoint expects.
pub fn unpatchify(graph: &mut Graph, tokens: ValueId, patch: usize, grid: impl Into<Grid>) -> Result<ValueId> {
    let grid = grid.into().sides();
    let op = SHADER.name;
    let [batch, count, features] = graph.dims(op, tokens)?;
    let [rows, columns] = grid;
    if count != rows.saturating_mul(columns) {
        return Err(Error::shape(op, format!("{count} tokens are not {rows}×{columns}")));
    }
    let pixels = patch.saturating_mul(patch);
    if patch == 0 || !features.is_multiple_of(pixels) {
        return Err(Error::shape(op, format!("{features} features do not divide into patches of {patch}×{patch}")));
    }
    let out = graph
        .transient("image", &[batch, features / pixels, rows.saturating_mul(patch), columns.saturating_mul(patch)]);
    graph.push(Unpatchify { tokens, patch, out });
    Ok(out)
}

impl Op for Unpatchify {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.tokens).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let [_, channels, height, width] = graph.dims(self.name(), self.out)?.map(|d: usize| d as u32);
        let params = Params { count: count as u32, channels, height, width, side: self.patch as u32 };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (shape, p) = (graph.shape(self.out), self.patch);
        let (channels, height, width) = (shape[1], shape[2], shape[3]);
        let mut out = vec![0.0; graph.get(self.out).len()];
        for (token, features) in host.f32(self.tokens).chunks(p * p * channels).enumerate() {
            let (rows, columns) = (height / p, width / p);
            let (sample, top, left) = (token / (rows * columns), token / columns % rows * p, token % columns * p);
            for (feature, value) in features.iter().enumerate() {
                let (py, px, c) = (feature / (p * channels), feature / channels % p, feature % channels);
                out[((sample * channels + c) * height + top + py) * width + left + px] = *value;
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
        for (batch, grid, patch, channels) in
            [(1, [1, 1], 1, 1), (2, [3, 5], 2, 8), (1, [7, 2], 1, 3), (3, [2, 3], 3, 4), (1, [16, 16], 2, 4)]
        {
            let mut case = Case::new();
            let tokens = case.input("tokens", &[batch, grid[0] * grid[1], patch * patch * channels]);
            unpatchify(&mut case.graph, tokens, patch, grid).unwrap();
            case.agrees(1e-7);
        }
    }

    #[test]
    fn features_lie_as_in_diffusers() {
        let mut case = Case::new();
        let tokens = case.input_of("tokens", &[1, 2, 8], (0..16).map(|i| i as f32).collect());
        let out = unpatchify(&mut case.graph, tokens, 2, [1, 2]).unwrap();
        assert_eq!(case.graph.shape(out), [1, 2, 2, 4]);
        let host = reference::run(&case.graph, &case.stored).unwrap();
        let expected = [0, 2, 8, 10, 4, 6, 12, 14, 1, 3, 9, 11, 5, 7, 13, 15].map(|v| v as f32);
        assert_eq!(host.f32(out), expected);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let tokens = case.input("tokens", &[1, 6, 12]);
        for (patch, grid, message) in [
            (2, [2, 2], "6 tokens are not 2×2"),
            (5, [2, 3], "12 features do not divide into patches of 5×5"),
            (0, [2, 3], "12 features do not divide into patches of 0×0"),
        ] {
            let error = unpatchify(&mut case.graph, tokens, patch, grid).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
