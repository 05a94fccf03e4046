//! Reads textures back.

use foveate::{Gpu, wgpu};

/// Its bytes, RGBA, row by row.
pub fn read(gpu: &Gpu, texture: &wgpu::Texture) -> Vec<u8> {
    let (device, queue) = (gpu.device(), gpu.queue());
    let (width, height) = (texture.width(), texture.height());
    let stride = (4 * width).next_multiple_of(256);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(stride * height),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride), rows_per_image: None };
    let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
    encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture.size());
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let bytes = buffer.get_mapped_range(..).unwrap();
    bytes.chunks_exact(stride as usize).flat_map(|row| row[..4 * width as usize].to_vec()).collect()
}
