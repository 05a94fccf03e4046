//! From pictures to latents: the half of the autoencoder that only those need who begin with a picture. Its weights are
//! apart from the decoder's, so that nobody else loads them.

use super::encoder::Encoder;
use super::tiling::Tiles;
use super::{Config, extent, in_tiles, largest_tile};
use crate::device::{Device, Store};
use crate::graph::{Graph, ValueId};
use crate::kernels::{self, Affine};
use crate::loading::Scope;
use crate::models::Encoder as PictureEncoder;
use crate::shared::Work;
use crate::{Error, Result, Tensor};

/// The weights of the encoder.
#[derive(Clone, Debug)]
pub struct EncoderKl {
    /// The autoencoder's config.
    pub config: Config,
    encoder: Encoder,
}

/// What the encoder says of a picture, for latents as the decoder takes them: not scaled for diffusion.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// `[1, L, h, w]`.
    pub mean: Tensor,
    /// `[1, L, h, w]`, the logarithm of the variance, in −30…20.
    pub logvar: Tensor,
}

impl Posterior {
    /// Latents drawn from it with standard normal `noise`, as many numbers as there are.
    pub fn sample(&self, noise: &[f32]) -> Result<Tensor> {
        let parts = self.mean.f32().iter().zip(self.logvar.f32()).zip(noise);
        let values = parts.map(|((mean, logvar), noise)| mean + (0.5 * logvar).exp() * noise).collect();
        Tensor::new(&self.mean.shape, values)
    }
}

impl EncoderKl {
    /// Asks for the encoder's tensors.
    pub fn load(config: Config, scope: &mut Scope<'_>) -> Result<Self> {
        Ok(Self { encoder: Encoder::load(&config, scope)?, config })
    }

    /// Tensors that encoding has no use for.
    pub fn unused(name: &str) -> bool {
        name.starts_with("decoder.") || name.starts_with("post_quant_conv.")
    }

    /// Pictures `[B, 3, H, W]` in 0…1 to `[B, 2·L, h, w]`: mean, then log-variance, of latents as the decoder takes
    /// them.
    pub fn encode(&self, graph: &mut Graph, pictures: ValueId) -> Result<ValueId> {
        let factor = self.config.scale_factor();
        let [_, _, height, width] = graph.dims("autoencoder", pictures)?;
        if !height.is_multiple_of(factor) || !width.is_multiple_of(factor) {
            return Err(Error::Usage(format!("a picture of {width}×{height} pixels does not divide by {factor}")));
        }
        let pictures = kernels::affine(graph, pictures, Affine { scale: 2.0, shift: -1.0, ..Affine::default() })?;
        self.encoder.forward(graph, pictures)
    }

    /// What the encoder says of a picture `[1, 3, H, W]` in 0…1, in tiles where `device` cannot hold it whole.
    pub async fn encode_picture(&self, device: &Device, store: &Store, picture: &Tensor) -> Result<Posterior> {
        let build = |graph: &mut Graph, picture| self.encode(graph, picture);
        let side = largest_tile(device.caps(), picture, self.config.scale_factor(), &build)?;
        self.encode_in_tiles(device, store, picture, side).await
    }

    /// The same in tiles of `side` latent pixels, a multiple of 4.
    pub async fn encode_in_tiles(
        &self,
        device: &Device,
        store: &Store,
        picture: &Tensor,
        side: usize,
    ) -> Result<Posterior> {
        let build = |graph: &mut Graph, picture| self.encode(graph, picture);
        let tiles = Tiles { side, input: self.config.scale_factor(), output: 1 };
        let moments = in_tiles(device, store, picture, tiles, &build).await?;
        let [_, channels, height, width] = extent(&moments)?;
        let (mean, logvar) = moments.f32().split_at(moments.data.len() / 2);
        let logvar = logvar.iter().map(|v| v.clamp(-30.0, 20.0)).collect();
        let shape = [1, channels / 2, height, width];
        Ok(Posterior { mean: Tensor::new(&shape, mean.to_vec())?, logvar: Tensor::new(&shape, logvar)? })
    }
}

impl PictureEncoder for EncoderKl {
    fn latents<'a>(
        &'a self,
        device: &'a Device,
        store: &'a Store,
        picture: &'a Tensor,
        noise: &'a [f32],
    ) -> Work<'a, Tensor> {
        Box::pin(async move {
            let sample = self.encode_picture(device, store, picture).await?.sample(noise)?;
            let scaled = sample.f32().iter().map(|value| value * self.config.scaling_factor).collect();
            Tensor::new(&sample.shape, scaled)
        })
    }
}
