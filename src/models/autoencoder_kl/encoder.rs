//! Pictures to latents.

use super::Config;
use super::blocks::{Conv, GroupNorm, Level, MidBlock};
use super::images::{GoesOn, Images};
use crate::Result;
use crate::graph::{Graph, ValueId};
use crate::loading::Scope;

/// From the highest resolution to the lowest.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    conv_in: Conv,
    levels: Vec<Level>,
    mid: MidBlock,
    norm_out: GroupNorm,
    conv_out: Conv,
    quant_conv: Option<Conv>,
}

impl Encoder {
    pub(super) fn load(config: &Config, scope: &mut Scope<'_>) -> Result<Self> {
        let Config { groups, .. } = *config;
        let (finest, coarsest) = (config.finest(), config.coarsest());
        let moments = 2 * config.latent_channels;
        let quant_conv = match config.quant_conv {
            true => Some(Conv::load(scope, "quant_conv", [moments; 2], 1)?),
            false => None,
        };
        let mut scope = scope.within("encoder");
        let (mut levels, mut input) = (Vec::new(), finest);
        for (i, &output) in config.channels.iter().enumerate() {
            let resample = (i + 1 < config.channels.len()).then_some("downsamplers.0.conv");
            let mut scope = scope.within(&format!("down_blocks.{i}"));
            levels.push(Level::load(&mut scope, [input, output], config.layers, groups, resample)?);
            input = output;
        }
        Ok(Self {
            conv_in: Conv::load(&mut scope, "conv_in", [config.in_channels, finest], 3)?,
            levels,
            mid: MidBlock::load(&mut scope, coarsest, groups, config.mid_attention)?,
            norm_out: GroupNorm::load(&mut scope, "conv_norm_out", coarsest, groups)?,
            conv_out: Conv::load(&mut scope, "conv_out", [coarsest, moments], 3)?,
            quant_conv,
        })
    }

    /// Pictures `[B, 3, H, W]` in −1…1 to `[B, 2·L, h, w]`: mean and log-variance of each latent, not yet scaled.
    pub(super) fn forward(&self, graph: &mut Graph, pictures: ValueId) -> Result<ValueId> {
        graph.group("encoder input");
        let mut images = Images::from(self.conv_in.forward(graph, pictures)?);
        for (i, level) in self.levels.iter().enumerate() {
            graph.group(format!("encoder level {i}"));
            images = level.forward(graph, images)?;
            if let Some(conv) = &level.resample {
                images = conv.downsample(graph, &images)?;
            }
        }
        graph.group("encoder middle");
        let images = self.mid.forward(graph, images.first, GoesOn::All)?;
        let images = self.norm_out.silu(graph, &images)?;
        let x = self.conv_out.forward(graph, images.first)?;
        match &self.quant_conv {
            None => Ok(x),
            Some(conv) => conv.forward(graph, x),
        }
    }
}
