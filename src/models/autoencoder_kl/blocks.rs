//! What encoder and decoder are built from: convolutions, residual blocks, and the middle block with its attention.

use crate::Result;
use crate::graph::{Graph, ValueId, Weight};
use crate::kernels::{self, Activation, Attention, Conv2d, WriteRows};
use crate::loading::Scope;
use crate::models::parts::{Linear, attend_packed};

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

    /// Twice as many, each way.
    pub(super) fn upsample(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.convolve(graph, x, 1, [self.kernel / 2; 4], true)
    }

    /// Half as many; padded below and to the right only.
    pub(super) fn downsample(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.convolve(graph, x, 2, [0, 0, 1, 1], false)
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
        self.normalise(graph, x, false)
    }

    /// With silu after it.
    pub(super) fn silu(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.normalise(graph, x, true)
    }

    fn normalise(&self, graph: &mut Graph, x: ValueId, silu: bool) -> Result<ValueId> {
        let (weight, bias) = (self.weight.in_graph(graph), self.bias.in_graph(graph));
        kernels::group_norm(graph, x, kernels::GroupNorm { weight, bias, groups: self.groups, eps: EPS, silu })
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

    /// `x + conv2(silu(norm2(conv1(silu(norm1(x))))))`; the result may be `x` itself, updated.
    pub(super) fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        let h = self.norm1.silu(graph, x)?;
        let h = self.conv1.forward(graph, h)?;
        let h = self.norm2.silu(graph, h)?;
        let h = self.conv2.forward(graph, h)?;
        let x = match &self.shortcut {
            None => x,
            Some(shortcut) => shortcut.forward(graph, x)?,
        };
        kernels::residual(graph, x, h, None, WriteRows::All)?;
        Ok(x)
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

    pub(super) fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.resnets.iter().try_fold(x, |x, resnet| resnet.forward(graph, x))
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

    pub(super) fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        let x = self.before.forward(graph, x)?;
        if let Some(attention) = &self.attention {
            attention.forward(graph, x)?;
        }
        self.after.forward(graph, x)
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

    /// Adds to `x [B, C, H, W]` in place.
    fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<()> {
        let [batch, _, height, width] = graph.dims("autoencoder attention", x)?;
        let h = self.norm.forward(graph, x)?;
        let h = kernels::patchify(graph, h, 1, batch, None)?; // [B, H·W, C]
        let qkv = self.qkv.forward(graph, h, Activation::None)?;
        let scale = (self.channels as f32).sqrt().recip();
        let one_head = Attention { heads: 1, head_dim: self.channels, scale, key_bias: None, position_bias: None };
        let h = attend_packed(graph, qkv, one_head)?;
        let h = self.out.forward(graph, h, Activation::None)?;
        let h = kernels::unpatchify(graph, h, 1, [height, width])?;
        kernels::residual(graph, x, h, None, WriteRows::All)
    }
}
