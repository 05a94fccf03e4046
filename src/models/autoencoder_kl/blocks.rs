//! What encoder and decoder are built from: convolutions, residual blocks, and the middle block with its attention.

use super::images::{GoesOn, Images};
use crate::Result;
use crate::graph::{Graph, ValueId, Weight};
use crate::kernels::{self, Activation, Attention, Columns, Conv2d, WriteRows};
use crate::loading::Scope;
use crate::models::parts::Linear;

/// Added to every variance.
const EPS: f32 = 1e-6;

/// A square convolution with bias.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    weight: Weight,
    bias: Weight,
    kernel: usize,
}

impl Conv {
    pub(super) fn load(scope: &mut Scope<'_>, name: &str, [input, output]: [usize; 2], kernel: usize) -> Result<Self> {
        let mut scope = scope.within(name);
        let weight = scope.precise("weight", &[output, input, kernel, kernel])?;
        Ok(Self { weight, bias: scope.vector("bias", &[output])?, kernel })
    }

    /// As many pixels out as in.
    pub(super) fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.convolve(graph, x, 1, [self.kernel / 2; 4], false)
    }

    /// The same of each image.
    pub(super) fn each(&self, graph: &mut Graph, images: &Images) -> Result<Images> {
        images.each(|x, _| self.forward(graph, x))
    }

    /// Twice as many, each way.
    pub(super) fn upsample(&self, graph: &mut Graph, images: &Images) -> Result<Images> {
        images.each(|x, _| self.convolve(graph, x, 1, [self.kernel / 2; 4], true))
    }

    /// Half as many; padded below and to the right only.
    pub(super) fn downsample(&self, graph: &mut Graph, images: &Images) -> Result<Images> {
        images.each(|x, _| self.convolve(graph, x, 2, [0, 0, 1, 1], false))
    }

    fn convolve(
        &self,
        graph: &mut Graph,
        x: ValueId,
        stride: usize,
        padding: [usize; 4],
        upsample: bool,
    ) -> Result<ValueId> {
        let (weight, bias) = (self.weight.in_graph(graph), Some(self.bias.in_graph(graph)));
        kernels::conv2d(graph, x, Conv2d { weight, bias, stride, padding, upsample })
    }
}

/// Group normalisation.
#[derive(Clone, Debug)]
pub(super) struct GroupNorm {
    weight: Weight,
    bias: Weight,
    groups: usize,
}

impl GroupNorm {
    pub(super) fn load(scope: &mut Scope<'_>, name: &str, channels: usize, groups: usize) -> Result<Self> {
        let mut scope = scope.within(name);
        Ok(Self { weight: scope.vector("weight", &[channels])?, bias: scope.vector("bias", &[channels])?, groups })
    }

    fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.normalise(graph, x, None, false)
    }

    /// Each image, with silu after it.
    pub(super) fn silu(&self, graph: &mut Graph, images: &Images) -> Result<Images> {
        images.each(|x, like| self.normalise(graph, x, like, true))
    }

    /// By the statistics of `like`, where that is another image.
    fn normalise(&self, graph: &mut Graph, x: ValueId, like: Option<ValueId>, silu: bool) -> Result<ValueId> {
        let (weight, bias) = (self.weight.in_graph(graph), self.bias.in_graph(graph));
        kernels::group_norm(graph, x, kernels::GroupNorm { weight, bias, groups: self.groups, eps: EPS, silu, like })
    }
}

/// Two convolutions around which the image passes by (`ResnetBlock2D`).
#[derive(Clone, Debug)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv,
    norm2: GroupNorm,
    conv2: Conv,
    /// Where the number of channels changes.
    shortcut: Option<Conv>,
}

impl Resnet {
    pub(super) fn load(scope: &mut Scope<'_>, [input, output]: [usize; 2], groups: usize) -> Result<Self> {
        Ok(Self {
            norm1: GroupNorm::load(scope, "norm1", input, groups)?,
            conv1: Conv::load(scope, "conv1", [input, output], 3)?,
            norm2: GroupNorm::load(scope, "norm2", output, groups)?,
            conv2: Conv::load(scope, "conv2", [output, output], 3)?,
            shortcut: match input == output {
                true => None,
                false => Some(Conv::load(scope, "conv_shortcut", [input, output], 1)?),
            },
        })
    }

    /// `x + conv2(silu(norm2(conv1(silu(norm1(x))))))` of each image; the results may be the images, updated.
    pub(super) fn forward(&self, graph: &mut Graph, images: Images) -> Result<Images> {
        let h = self.norm1.silu(graph, &images)?;
        let h = self.conv1.each(graph, &h)?;
        let h = self.norm2.silu(graph, &h)?;
        let h = self.conv2.each(graph, &h)?;
        let images = match &self.shortcut {
            None => images,
            Some(shortcut) => shortcut.each(graph, &images)?,
        };
        images.all().zip(h.all()).try_for_each(|(x, h)| kernels::residual(graph, x, h, None, WriteRows::All))?;
        Ok(images)
    }
}

/// Residual blocks at one resolution, and the convolution that leads to the next.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) resnets: Vec<Resnet>,
    pub(super) resample: Option<Conv>,
}

impl Level {
    /// `count` residual blocks. `resample` names the convolution, where there is one.
    pub(super) fn load(
        scope: &mut Scope<'_>,
        [input, output]: [usize; 2],
        count: usize,
        groups: usize,
        resample: Option<&str>,
    ) -> Result<Self> {
        let inputs = std::iter::once(input).chain(std::iter::repeat(output)).take(count);
        let resnets = inputs
            .enumerate()
            .map(|(i, input)| Resnet::load(&mut scope.within(&format!("resnets.{i}")), [input, output], groups));
        let resnets = resnets.collect::<Result<_>>()?;
        let resample = resample.map(|name| Conv::load(scope, name, [output, output], 3)).transpose()?;
        Ok(Self { resnets, resample })
    }

    pub(super) fn forward(&self, graph: &mut Graph, images: Images) -> Result<Images> {
        self.resnets.iter().try_fold(images, |images, resnet| resnet.forward(graph, images))
    }
}

/// The lowest resolution: residual block, attention among all pixels, residual block (`UNetMidBlock2D`).
#[derive(Clone, Debug)]
pub(super) struct MidBlock {
    before: Resnet,
    attention: Option<SelfAttention>,
    after: Resnet,
}

impl MidBlock {
    pub(super) fn load(scope: &mut Scope<'_>, channels: usize, groups: usize, attention: bool) -> Result<Self> {
        let mut scope = scope.within("mid_block");
        let before = Resnet::load(&mut scope.within("resnets.0"), [channels; 2], groups)?;
        let after = Resnet::load(&mut scope.within("resnets.1"), [channels; 2], groups)?;
        let attention = match attention {
            true => Some(SelfAttention::load(&mut scope.within("attentions.0"), channels, groups)?),
            false => None,
        };
        Ok(Self { before, attention, after })
    }

    /// What goes on of the picture `x`.
    pub(super) fn forward(&self, graph: &mut Graph, x: ValueId, goes_on: GoesOn<'_>) -> Result<Images> {
        let x = self.before.forward(graph, x.into())?.first;
        let images = goes_on.of(graph, x)?;
        if let Some(attention) = &self.attention {
            // Its errors show, and it is a small part of the work.
            graph.beyond_f16(|graph| attention.forward(graph, x, &images, goes_on))?;
        }
        self.after.forward(graph, images)
    }
}

/// Attention among pixels, with one head as wide as there are channels.
#[derive(Clone, Debug)]
struct SelfAttention {
    norm: GroupNorm,
    qkv: Linear,
    out: Linear,
    channels: usize,
}

impl SelfAttention {
    fn load(scope: &mut Scope<'_>, channels: usize, groups: usize) -> Result<Self> {
        // Checkpoints from before diffusers 0.15 have the names on the right.
        let [q, k, v, out] = match scope.has("to_q.weight") {
            true => ["to_q", "to_k", "to_v", "to_out.0"],
            false => ["query", "key", "value", "proj_attn"],
        };
        Ok(Self {
            norm: GroupNorm::load(scope, "group_norm", channels, groups)?,
            qkv: Linear::stacked(scope, &[q, k, v], channels, channels, true)?,
            out: Linear::load(scope, out, channels, channels, true)?,
            channels,
        })
    }

    /// Adds to `images` in place, which are what goes on of the picture `x`. They attend to all of it.
    fn forward(&self, graph: &mut Graph, x: ValueId, images: &Images, goes_on: GoesOn<'_>) -> Result<()> {
        let scale = (self.channels as f32).sqrt().recip();
        let one_head = Attention { heads: 1, head_dim: self.channels, scale, key_bias: None, position_bias: None };
        let column = |value: ValueId, part: usize| Columns { value, offset: part * self.channels };
        let normalised = self.norm.forward(graph, x)?;
        let all = self.project(graph, normalised)?;
        let own = goes_on.of(graph, normalised)?;
        for (image, h) in images.all().zip(own.all()) {
            let [_, _, height, width] = graph.dims("autoencoder attention", image)?;
            let own = if h == normalised { all } else { self.project(graph, h)? };
            let h = kernels::attention(graph, column(own, 0), column(all, 1), column(all, 2), one_head)?;
            let h = self.out.forward(graph, h, Activation::None)?;
            let h = kernels::unpatchify(graph, h, 1, [height, width])?;
            kernels::residual(graph, image, h, None, WriteRows::All)?;
        }
        Ok(())
    }

    /// Queries, keys and values `[B, H·W, 3·C]` of `h [B, C, H, W]`.
    fn project(&self, graph: &mut Graph, h: ValueId) -> Result<ValueId> {
        let [batch, ..]: [usize; 4] = graph.dims("autoencoder attention", h)?;
        let h = kernels::patchify(graph, h, 1, batch, None)?;
        self.qkv.forward(graph, h, Activation::None)
    }
}
