//! A picture as a texture, for hosts that show it without reading it back.

use super::Gpu;
use crate::device::Buffer;
use crate::{Error, Result};

impl Gpu {
    /// A texture `[height, width]` of 8-bit RGBA, copied from rows of `stride` pixels (a multiple of 64).
    pub(crate) fn texture(&self, pixels: &Buffer, stride: u32, width: u32, height: u32) -> Result<wgpu::Texture> {
        self.alive()?;
        let (needed, available) = (width.max(height), self.device().limits().max_texture_dimension_2d);
        if needed > available {
            let (what, limit) = (format!("a picture of {width}x{height}"), "max_texture_dimension_2d");
            return Err(Error::Limit { what, limit, needed: needed.into(), available: available.into() });
        }
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let texture = self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[wgpu::TextureFormat::Rgba8UnormSrgb],
        });
        self.submit_picture(&pixels.storage(self.id())?.0, 4 * stride, &texture);
        Ok(texture)
    }
}
