//! What a renderer has anyway: a device, a scene, and a loop with frames in flight. It knows nothing of Foveate, but
//! for what it opens its device with.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use foveate::{Error, Gpu, Result, optional_features, required_features, required_limits, wgpu};

const SIDE: u32 = 256;
const VERTICES: u32 = 3 * 24 + 6;
/// From one frame to the next, at least.
const BETWEEN: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// How long a frame took.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// What was added to it, and its submission.
    pub called: Duration,
    /// On the device, the scene with it.
    pub ran: Duration,
}

struct InFlight {
    submission: wgpu::SubmissionIndex,
    submitted: Instant,
    called: Duration,
}

/// Draws frames into a texture.
pub struct Renderer {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    uniform: wgpu::Buffer,
    sampler: wgpu::Sampler,
    screen: wgpu::Texture,
    picture: Option<wgpu::Texture>,
    nothing: wgpu::Texture,
    began: Instant,
    /// When the next frame is due.
    due: Instant,
    /// The frame before, which the device may still be drawing.
    in_flight: Option<InFlight>,
    /// When the device was done with the one before that.
    done: Instant,
    frames: Vec<Frame>,
    folder: Option<PathBuf>,
    count: usize,
}

impl Renderer {
    /// Opens a device as Foveate needs it; every tenth frame goes to `folder`.
    pub fn new(folder: Option<PathBuf>) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = pollster::block_on(instance.request_adapter(&Default::default()));
        let adapter = adapter.map_err(|error| Error::NoAdapter(error.to_string()))?;
        let opened = adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: required_features() | optional_features() & adapter.features(),
            required_limits: required_limits(),
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(opened).map_err(|error| Error::Gpu(error.to_string()))?;
        let shader = device.create_shader_module(wgpu::include_wgsl!("scene.wgsl"));
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("scene"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &shader,
                entry_point: Some("corner"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &shader,
                entry_point: Some("fill"),
                compilation_options: Default::default(),
                targets: &[Some(wgpu::TextureFormat::Rgba8Unorm.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("scene"),
            size: 8,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let usage = wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC;
        let now = Instant::now();
        Ok(Self {
            screen: texture(&device, SIDE, usage),
            nothing: texture(&device, 1, wgpu::TextureUsages::TEXTURE_BINDING),
            sampler: device.create_sampler(&Default::default()),
            adapter,
            device,
            queue,
            pipeline,
            uniform,
            picture: None,
            began: now,
            due: now,
            in_flight: None,
            done: now,
            frames: Vec::new(),
            folder,
            count: 0,
        })
    }

    /// Lends the device to Foveate.
    pub fn gpu(&self) -> Result<Gpu> {
        Gpu::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone())
    }

    /// The picture on the quad.
    pub fn show(&mut self, picture: Option<wgpu::Texture>) {
        self.picture = picture;
    }

    /// Draws a frame when it is due, with whatever `more` adds to its encoder, and waits for the one before it, as a
    /// swapchain does.
    pub fn frame(&mut self, more: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>) -> Result<()> {
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
        self.due = Instant::now() + BETWEEN;
        let scene = [self.began.elapsed().as_secs_f32(), f32::from(u8::from(self.picture.is_some()))];
        self.queue.write_buffer(&self.uniform, 0, &scene.map(f32::to_le_bytes).concat());
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.draw(&mut encoder);
        let clock = Instant::now();
        more(&mut encoder)?;
        let submission = self.queue.submit([encoder.finish()]);
        let submitted = Instant::now();
        let this = InFlight { submission, submitted, called: submitted - clock };
        let before = self.in_flight.replace(this);
        self.end(before)?;
        self.count += 1;
        if self.count.is_multiple_of(10) { self.save() } else { Ok(()) }
    }

    /// Waits until the device is done with all frames.
    pub fn idle(&mut self) -> Result<()> {
        let last = self.in_flight.take();
        self.end(last)
    }

    /// How long each frame took since the last call that the device is done with.
    pub fn take_frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// Waits for a frame.
    fn end(&mut self, frame: Option<InFlight>) -> Result<()> {
        let Some(InFlight { submission, submitted, called }) = frame else { return Ok(()) };
        self.wait(submission)?;
        let began = submitted.max(self.done);
        self.done = Instant::now();
        self.frames.push(Frame { called, ran: self.done - began });
        Ok(())
    }

    fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        let picture = self.picture.as_ref().unwrap_or(&self.nothing).create_view(&Default::default());
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&picture) },
                wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::Sampler(&self.sampler) },
            ],
        });
        let screen = self.screen.create_view(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("scene"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &screen,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.draw(0..VERTICES, 0..1);
    }

    fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.device.poll(wait).map(|_| ()).map_err(|error| Error::Gpu(error.to_string()))
    }

    /// Writes the frame as a PNG, where there is a folder.
    fn save(&mut self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(format!("{:04}.png", self.count));
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(4 * SIDE * SIDE),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * SIDE), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_texture_to_buffer(self.screen.as_image_copy(), to, self.screen.size());
        encoder.map_buffer_on_submit(&buffer, wgpu::MapMode::Read, .., |_| {});
        self.wait(self.queue.submit([encoder.finish()]))?;
        let bytes = buffer.get_mapped_range(..).map_err(|error| Error::Gpu(error.to_string()))?.to_vec();
        let saved = image::save_buffer(&path, &bytes, SIDE, SIDE, image::ColorType::Rgba8);
        saved.map_err(|error| Error::io(&path, std::io::Error::other(error)))?;
        Ok(())
    }
}

fn texture(device: &wgpu::Device, side: u32, usage: wgpu::TextureUsages) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: side, height: side, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage,
        view_formats: &[],
    })
}
