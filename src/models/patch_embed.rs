//! Patches to tokens: a strided convolution as one linear layer, plus the fixed sine-cosine position of each token
//! (diffusers `PatchEmbed`).

use super::Scope;
use crate::graph::{Element, Graph, ValueId, Weight};
use crate::kernels::{self, Activation, ReadRows};
use crate::{Error, Result, Tensor};

/// The name under which a run stores the positions of its token grid.
pub const POSITIONS: &str = "positions";

/// What one denoising step starts from.
#[derive(Clone, Copy, Debug)]
pub struct Noisy {
    /// `[L, C, H, W]`.
    pub latents: ValueId,
    /// The step's row of the schedule (see [`kernels::step_row`]).
    pub step: ValueId,
    /// Samples in the model's batch: L, or 2·L under classifier-free guidance.
    pub batch: usize,
}

/// The embedding's weights and the grid its positions were trained on.
#[derive(Clone, Debug)]
pub struct PatchEmbed {
    weight: Weight,
    bias: Weight,
    /// Pixels of latent per token, along each side.
    pub patch: usize,
    width: usize,
    /// Tokens along a side of the trained grid.
    base: usize,
    interpolation: f64,
}

impl PatchEmbed {
    /// `pos_embed.proj`. `sample_size` is the trained latent's side.
    pub fn load(
        scope: &mut Scope<'_>,
        in_channels: usize,
        width: usize,
        patch: usize,
        sample_size: usize,
        interpolation: f64,
    ) -> Result<Self> {
        let mut scope = scope.within("pos_embed.proj");
        let weight = scope.precise("weight", &[width, in_channels, patch, patch])?;
        let bias = scope.vector("bias", &[width])?;
        Ok(Self { weight, bias, patch, width, base: sample_size / patch, interpolation })
    }

    /// Tokens along height and width of an `[H, W]` latent.
    pub fn grid(&self, [height, width]: [usize; 2]) -> Result<[usize; 2]> {
        if height == 0 || width == 0 || height % self.patch != 0 || width % self.patch != 0 {
            let reason = format!("a latent of {height}×{width} is not divisible by the patch size {}", self.patch);
            return Err(Error::Usage(reason));
        }
        Ok([height / self.patch, width / self.patch])
    }

    /// Tokens `[B, N, C]` of the noisy latents.
    pub fn forward(&self, graph: &mut Graph, noisy: Noisy) -> Result<ValueId> {
        let patches = kernels::patchify(graph, noisy.latents, self.patch, noisy.batch, Some(noisy.step))?;
        let (weight, bias) = (self.weight.in_graph(graph), Some(self.bias.in_graph(graph)));
        let (activation, rows) = (Activation::None, ReadRows::All);
        let tokens = kernels::linear(graph, patches, kernels::Linear { weight, bias, activation, rows })?;
        let [_, count, width] = graph.dims("patch_embed", tokens)?;
        let positions = graph.stored(POSITIONS, &[count, width], Element::F32);
        kernels::add(graph, tokens, positions)
    }

    /// The positions `[N, C]` of a token grid.
    pub fn positions(&self, grid: [usize; 2]) -> Result<Tensor> {
        positions(self.width, self.base, self.interpolation, grid)
    }
}

/// The sine-cosine positions `[N, width]` of a grid of rows × columns. The first half of a row encodes the column, the
/// second the row, each as sines then cosines; a grid of another size than the trained one (`base` tokens a side) is
/// spread over the trained one's extent.
pub fn positions(width: usize, base: usize, interpolation: f64, [rows, columns]: [usize; 2]) -> Result<Tensor> {
    let quarter = width / 4;
    // As torch does: the coordinates in f32, the rest in f64.
    let coordinate = |i: usize, count: usize| {
        let stretch = (count as f64 / base as f64) as f32;
        f64::from(i as f32 / stretch / interpolation as f32)
    };
    let mut values = Vec::with_capacity(rows * columns * width);
    for row in 0..rows {
        for column in 0..columns {
            for position in [coordinate(column, columns), coordinate(row, rows)] {
                let angle = |i: usize| position * 10_000f64.powf(-(i as f64) / quarter as f64);
                values.extend((0..quarter).map(|i| angle(i).sin() as f32));
                values.extend((0..quarter).map(|i| angle(i).cos() as f32));
            }
        }
    }
    Tensor::new(&[rows * columns, width], values)
}
