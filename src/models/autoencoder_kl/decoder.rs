//! Latents to pictures.

use super::Config;
use super::blocks::{Conv, GroupNorm, Level, MidBlock};
use super::images::{GoesOn, Images};
use crate::graph::{Graph, ValueId};
use crate::loading::Scope;
use crate::{Area, Result, Size};

/// So many latent pixels around an area go through the lowest resolution with it: a step is farthest there, and cheapest.
const REACH: usize = 2;

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
        let middle = self.middle(graph, latents, GoesOn::All)?;
        let lowest = self.lowest(graph, middle)?;
        let images = self.upscaled(graph, lowest)?;
        self.conv_out.forward(graph, images.first)
    }

    /// The same of areas of the latents: a picture of each. Exact up to the keys of the attention, and near from there
    /// on: the statistics are those of a sample, which has one of `every` latent pixels each way; and beyond an area
    /// there is nothing.
    pub(super) fn areas(
        &self,
        graph: &mut Graph,
        latents: ValueId,
        areas: &[Area],
        every: usize,
    ) -> Result<Vec<ValueId>> {
        let [_, _, height, width] = graph.dims("autoencoder", latents)?;
        let wider: Vec<Area> = areas.iter().map(|area| area.grown(REACH, Size::new(width, height))).collect();
        let middle = self.middle(graph, latents, GoesOn::Parts { every, areas: &wider })?;
        let lowest = self.lowest(graph, middle)?.trimmed(graph, &wider, areas)?;
        let images = self.upscaled(graph, lowest)?;
        images.parts.iter().map(|&part| self.conv_out.forward(graph, part)).collect()
    }

    /// The middle block.
    fn middle(&self, graph: &mut Graph, latents: ValueId, goes_on: GoesOn<'_>) -> Result<Images> {
        graph.group("decoder middle");
        let x = match &self.post_quant_conv {
            None => latents,
            Some(conv) => conv.forward(graph, latents)?,
        };
        let x = self.conv_in.forward(graph, x)?;
        self.mid.forward(graph, x, goes_on)
    }

    /// The blocks at the resolution of the latents.
    fn lowest(&self, graph: &mut Graph, images: Images) -> Result<Images> {
        graph.group("decoder level 0");
        match self.levels.first() {
            None => Ok(images),
            Some(level) => level.forward(graph, images),
        }
    }

    /// From there to what the output convolution makes pictures of.
    fn upscaled(&self, graph: &mut Graph, mut images: Images) -> Result<Images> {
        for (i, (below, level)) in self.levels.iter().zip(self.levels.iter().skip(1)).enumerate() {
            if let Some(conv) = &below.resample {
                images = conv.upsample(graph, &images)?;
            }
            graph.group(format!("decoder level {}", i + 1));
            images = level.forward(graph, images)?;
        }
        graph.group("decoder output");
        self.norm_out.silu(graph, &images)
    }
}
