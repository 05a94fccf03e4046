//! Patches to tokens: a strided convolution as one linear layer, plus the fixed sine-cosine position of each token
//! (diffusers `PatchEmbed`).

use crate::graph::{Element, Graph, ValueId, Weight};
use crate::kernels::{self, Activation, ReadRows};
use crate::loading::Scope;
use crate::models::{Noisy, Preparation};
use crate::{Error, Grid, Refusal, Result, Size, Tensor};

/// The name under which a run stores the positions of its token grid.
pub const POSITIONS: &str = "positions";

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

    /// The numbers of a token that `channels` make: as many as can be counted where a config asks for more.
    pub fn pixels(&self, channels: usize) -> usize {
        self.patch.saturating_mul(self.patch).saturating_mul(channels)
    }

    /// The token grid of latents.
    pub fn grid(&self, latents: Size) -> Result<Grid> {
        let Some(Size { width, height }) = latents.divided(self.patch) else {
            return Err(Refusal::IndivisibleLatents { latents, patch: self.patch }.into());
        };
        Ok(Grid::new(height, width))
    }

    /// The token grid of a step's latents.
    pub fn grid_of(&self, graph: &Graph, noisy: Noisy) -> Result<Grid> {
        let [_, _, height, width] = graph.dims("patch_embed", noisy.latents)?;
        self.grid(Size::new(width, height))
    }

    /// Stores the positions of a token grid, once per request.
    pub fn prepare(&self, preparation: &mut Preparation, grid: Grid) -> Result<()> {
        let made = || positions(self.width, self.base, self.interpolation, grid);
        preparation.large_input(POSITIONS, &[grid.tokens(), self.width], made).map(drop)
    }

    /// Tokens `[B, N, C]` of the noisy latents.
    pub fn forward(&self, graph: &mut Graph, noisy: Noisy) -> Result<ValueId> {
        let scale = (!noisy.scaled).then_some(noisy.step);
        let patches = kernels::patchify(graph, noisy.latents, self.patch, noisy.batch, scale)?;
        let (weight, bias) = (self.weight.in_graph(graph), Some(self.bias.in_graph(graph)));
        let (activation, rows) = (Activation::None, ReadRows::All);
        let tokens = kernels::linear(graph, patches, kernels::Linear { weight, bias, activation, rows })?;
        let [_, count, width] = graph.dims("patch_embed", tokens)?;
        let positions = graph.stored(POSITIONS, &[count, width], Element::F32);
        kernels::add(graph, tokens, positions)
    }
}

/// The sine-cosine positions `[N, width]` of a grid of rows × columns. The first half of a row encodes the column, the
/// second the row, each as sines then cosines; a grid of another size than the trained one (`base` tokens a side) is
/// spread over the trained one's extent.
pub fn positions(width: usize, base: usize, interpolation: f64, grid: Grid) -> Result<Tensor> {
    let Grid { rows, columns } = grid;
    let quarter = width / 4;
    // As torch does: the coordinates in f32, the rest in f64.
    let coordinate = |i: usize, count: usize| {
        let stretch = (count as f64 / base as f64) as f32;
        f64::from(i as f32 / stretch / interpolation as f32)
    };
    let furthest = coordinate(rows.max(columns), rows.max(columns));
    if !furthest.is_finite() {
        let reason = format!("are not finite with an interpolation scale of {interpolation}");
        return Err(Error::tensor(POSITIONS, reason));
    }
    let frequencies: Vec<f64> = (0..quarter).map(|i| 10_000f64.powf(-(i as f64) / quarter as f64)).collect();
    // Each column has the same waves in every row, and each row in every column.
    let waves = |count: usize| -> Vec<Vec<f32>> {
        let of = |position: f64| {
            let sines = frequencies.iter().map(move |frequency| (position * frequency).sin() as f32);
            sines.chain(frequencies.iter().map(move |frequency| (position * frequency).cos() as f32)).collect()
        };
        (0..count).map(|i| of(coordinate(i, count))).collect()
    };
    let (across, down) = (waves(columns), waves(rows));
    let mut values = Vec::with_capacity(grid.tokens().saturating_mul(width));
    for row in &down {
        for column in &across {
            values.extend_from_slice(column);
            values.extend_from_slice(row);
        }
    }
    Tensor::new(&[grid.tokens(), width], values)
}
