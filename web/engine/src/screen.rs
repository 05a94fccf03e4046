//! An OffscreenCanvas that pictures are drawn on without leaving the device.

use foveate::{Error, Gpu, Result, wgpu};
use wasm_bindgen::prelude::*;
use web_sys::OffscreenCanvas;

use crate::Engine;
use crate::failure::{Thrown, failure};

/// A canvas of the engine's device.
#[wasm_bindgen]
pub struct Screen {
    surface: wgpu::Surface<'static>,
    size: [u32; 2],
}

#[wasm_bindgen]
impl Screen {
    /// Takes a canvas that has no context yet. It takes the size of each picture.
    #[wasm_bindgen(constructor)]
    pub fn new(engine: &Engine, canvas: OffscreenCanvas) -> Thrown<Screen> {
        let device = engine.device.caps().name.clone();
        let needs_gpu = || failure(Error::NeedsGpu { what: "a canvas".into(), device });
        let instance = engine.instance.as_ref().ok_or_else(needs_gpu)?;
        let surface = instance.create_surface(wgpu::SurfaceTarget::OffscreenCanvas(canvas));
        let surface = surface.map_err(|error| failure(Error::Gpu(format!("the canvas: {error}"))))?;
        Ok(Screen { surface, size: [0, 0] })
    }
}

impl Screen {
    /// Copies the texture to the canvas, which shows it when the current task ends.
    pub(crate) fn draw(&mut self, gpu: &Gpu, texture: &wgpu::Texture) -> Result<()> {
        let size = [texture.width(), texture.height()];
        if self.size != size {
            self.surface.configure(gpu.device(), &configuration(texture));
            self.size = size;
        }
        let frame = match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(frame) | wgpu::CurrentSurfaceTexture::Suboptimal(frame) => frame,
            other => return Err(Error::Gpu(format!("the canvas gives no texture: {other:?}"))),
        };
        let mut encoder = gpu.encoder();
        encoder.copy_texture_to_texture(texture.as_image_copy(), frame.texture.as_image_copy(), texture.size());
        gpu.submit(encoder);
        gpu.queue().present(frame);
        Ok(())
    }
}

fn configuration(texture: &wgpu::Texture) -> wgpu::SurfaceConfiguration {
    wgpu::SurfaceConfiguration {
        usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::RENDER_ATTACHMENT,
        format: texture.format(),
        color_space: wgpu::SurfaceColorSpace::Srgb,
        width: texture.width(),
        height: texture.height(),
        present_mode: wgpu::PresentMode::Fifo,
        desired_maximum_frame_latency: 2,
        alpha_mode: wgpu::CompositeAlphaMode::Opaque,
        view_formats: Vec::new(),
    }
}
