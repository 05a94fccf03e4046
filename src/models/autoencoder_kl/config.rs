//! `vae/config.json`.

use crate::Result;
use crate::loading::Fields;

/// The fields that shape the autoencoder.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of the pictures it encodes.
    pub in_channels: usize,
    /// Of the pictures it decodes.
    pub out_channels: usize,
    /// Of the latents.
    pub latent_channels: usize,
    /// What latents are multiplied with for diffusion.
    pub scaling_factor: f32,
    /// Channels at each resolution, the highest first.
    pub(super) channels: Vec<usize>,
    /// Residual blocks of each level of the encoder; the decoder has one more.
    pub(super) layers: usize,
    pub(super) groups: usize,
    pub(super) mid_attention: bool,
    pub(super) quant_conv: bool,
    pub(super) post_quant_conv: bool,
}

impl Config {
    /// Reads the config, refusing what this engine does not implement.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let config = Self {
            in_channels: fields.count("in_channels", 3)?,
            out_channels: fields.count("out_channels", 3)?,
            latent_channels: fields.count("latent_channels", 4)?,
            scaling_factor: fields.take("scaling_factor", 0.18215)?,
            channels: fields.take("block_out_channels", vec![64])?,
            layers: fields.count("layers_per_block", 1)?,
            groups: fields.count("norm_num_groups", 32)?,
            mid_attention: fields.take("mid_block_add_attention", true)?,
            quant_conv: fields.take("use_quant_conv", true)?,
            post_quant_conv: fields.take("use_post_quant_conv", true)?,
        };
        let channels = &config.channels;
        // Beyond sixteen levels a latent would show more pixels than any picture has.
        let divide = channels.iter().all(|&c| c > 0 && c <= 1 << 16 && c.is_multiple_of(config.groups));
        if channels.is_empty() || channels.len() > 16 || !divide {
            let why = format!("must be one to sixteen multiples of norm_num_groups = {}", config.groups);
            return Err(fields.refuse("block_out_channels", &channels.clone().into(), &why));
        }
        if !config.scaling_factor.is_normal() {
            let why = "latents cannot be divided by it";
            return Err(fields.refuse("scaling_factor", &config.scaling_factor.into(), why));
        }
        fields.only("_class_name", &["AutoencoderKL".into()])?;
        fields.only("act_fn", &["silu".into()])?;
        for (name, kind) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            fields.only(name, &[vec![kind; channels.len()].into()])?;
        }
        // How tiles are cut, and in what precision a half-precision pipeline runs: neither is asked here. The last
        // three are used by other pipelines of diffusers, which apply them outside the autoencoder; DiT's and PixArt's
        // do not.
        fields.ignore(&["sample_size", "force_upcast", "shift_factor", "latents_mean", "latents_std"]);
        fields.finish()?;
        Ok(config)
    }

    /// Pixels of a picture per latent pixel, each way.
    pub fn scale_factor(&self) -> usize {
        1 << (self.channels.len() - 1)
    }

    /// Channels at the highest resolution.
    pub(super) fn finest(&self) -> usize {
        self.channels.first().copied().unwrap_or_default()
    }

    /// Channels at the lowest resolution.
    pub(super) fn coarsest(&self) -> usize {
        self.channels.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config> {
        Config::read(Fields::parse("vae/config.json", json.as_bytes())?)
    }

    #[test]
    fn honours_what_it_knows_and_refuses_the_rest_by_name() {
        let config = read(r#"{"block_out_channels": [32, 64], "shift_factor": 0.1, "latents_mean": [0.5]}"#).unwrap();
        assert_eq!((config.scale_factor(), config.latent_channels), (2, 4));
        for (json, complaint) in [
            (r#"{"act_fn": "gelu"}"#, "act_fn = \"gelu\": only \"silu\""),
            (r#"{"block_out_channels": [48]}"#, "block_out_channels = [48]: must be one to sixteen multiples"),
            (r#"{"block_out_channels": []}"#, "block_out_channels = []"),
            (r#"{"down_block_types": ["AttnDownEncoderBlock2D"]}"#, "down_block_types"),
            (r#"{"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]}"#, "up_block_types"),
            (r#"{"scaling_factor": 0.0}"#, "scaling_factor = 0.0: latents cannot be divided by it"),
            (r#"{"norm_type": "spatial"}"#, "norm_type = \"spatial\": this engine does not know the field"),
            (r#"{"_class_name": "AsymmetricAutoencoderKL"}"#, "only \"AutoencoderKL\" is implemented"),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
