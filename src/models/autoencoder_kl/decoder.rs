//! Latents to pictures.

use super::Config;
use super::blocks::{Conv, GroupNorm, Level, MidBlock};
use super::images::{GoesOn, Images};
use crate::graph::{Graph, ValueId};
use crate::loading::Scope;
use crate::{Area, Result};

/// From the lowest resolution to the highest.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    post_quant_conv: Option<Conv>,
    conv_in: Conv,
    mid: MidBlock,
    levels: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv,
}

impl Decoder {
    pub(super) fn load(config: &Config, scope: &mut Scope<'_>) -> Result<Self> {
        let Config { latent_channels, groups, .. } = *config;
        let (finest, coarsest) = (config.finest(), config.coarsest());
        let post_quant_conv = match config.post_quant_conv {
            true => Some(Conv::load(scope, "post_quant_conv", [latent_channels; 2], 1)?),
            false => None,
        };
        let mut scope = scope.within("decoder");
        let (mut levels, mut input) = (Vec::new(), coarsest);
        for (i, &output) in config.channels.iter().rev().enumerate() {
            let resample = (i + 1 < config.channels.len()).then_some("upsamplers.0.conv");
            let mut scope = scope.within(&format!("up_blocks.{i}"));
            levels.push(Level::load(&mut scope, [input, output], config.layers + 1, groups, resample)?);
            input = output;
        }
        Ok(Self {
            post_quant_conv,
            conv_in: Conv::load(&mut scope, "conv_in", [latent_channels, coarsest], 3)?,
            mid: MidBlock::load(&mut scope, coarsest, groups, config.mid_attention)?,
            levels,
            norm_out: GroupNorm::load(&mut scope, "conv_norm_out", finest, groups)?,
            conv_out: Conv::load(&mut scope, "conv_out", [finest, config.out_channels], 3)?,
        })
    }

    /// `latents [B, L, h, w]`, no longer scaled, to pictures `[B, 3, H, W]` in about −1…1.
    pub(super) fn forward(&self, graph: &mut Graph, latents: ValueId) -> Result<ValueId> {
        let images = self.upscaled(graph, latents, GoesOn::All)?;
        self.conv_out.forward(graph, images.first)
    }

    /// The same of areas of the latents: a picture of each. Exact up to the keys of the attention, and from there on
    /// near: the statistics are those of a sample, and what lies outside an area is zero.
    pub(super) fn areas(&self, graph: &mut Graph, latents: ValueId, areas: &[Area]) -> Result<Vec<ValueId>> {
        let images = self.upscaled(graph, latents, GoesOn::Areas(areas))?;
        images.parts.iter().map(|&part| self.conv_out.forward(graph, part)).collect()
    }

    /// What the output convolution makes pictures of.
    fn upscaled(&self, graph: &mut Graph, latents: ValueId, goes_on: GoesOn<'_>) -> Result<Images> {
        graph.group("decoder middle");
        let x = match &self.post_quant_conv {
            None => latents,
            Some(conv) => conv.forward(graph, latents)?,
        };
        let x = self.conv_in.forward(graph, x)?;
        let mut images = self.mid.forward(graph, x, goes_on)?;
        for (i, level) in self.levels.iter().enumerate() {
            graph.group(format!("decoder level {i}"));
            images = level.forward(graph, images)?;
            if let Some(conv) = &level.resample {
                images = conv.upsample(graph, &images)?;
            }
        }
        graph.group("decoder output");
        self.norm_out.silu(graph, &images)
    }
}
