//! A picture as a texture, for hosts that show it without reading it back.

use super::{Buffer, Gpu};

impl Gpu {
    /// A texture `[height, width]` of 8-bit RGBA, copied from rows of `stride` pixels (a multiple of 64).
    pub(crate) fn texture(&self, pixels: &Buffer, stride: u32, width: u32, height: u32) -> wgpu::Texture {
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
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * stride), rows_per_image: None };
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo { buffer: &pixels.0, layout },
            texture.as_image_copy(),
            size,
        );
        self.submit(encoder);
        texture
    }
}
