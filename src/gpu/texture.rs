//! A picture as a texture, for hosts that show it without reading it back.

use super::Gpu;
use super::engine::encode_picture;
use crate::device::Buffer;
use crate::{Error, Result, Size};

impl Gpu {
    /// A texture of 8-bit RGBA.
    pub(crate) fn texture(&self, size: Size) -> Result<wgpu::Texture> {
        self.alive()?;
        let Size { width, height } = size;
        let (needed, available) = (width.max(height) as u64, self.device().limits().max_texture_dimension_2d);
        if needed > available.into() {
            let (what, limit) = (format!("a picture of {width}x{height}"), "max_texture_dimension_2d");
            return Err(Error::Limit { what, limit, needed, available: available.into() });
        }
        Ok(self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[wgpu::TextureFormat::Rgba8UnormSrgb],
        }))
    }

    /// Encodes the copy of rows of `stride` pixels (a multiple of 64) into a texture.
    pub(crate) fn encode_picture(
        &self,
        pixels: &Buffer,
        stride: usize,
        texture: &wgpu::Texture,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<()> {
        encode_picture(&pixels.storage(self.id())?.0, 4 * stride as u32, texture, encoder);
        Ok(())
    }
}
