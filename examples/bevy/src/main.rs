//! A picture that sharpens step by step on a sprite, on Bevy's own device.
//!
//! `cargo run --release --manifest-path examples/bevy/Cargo.toml`
//!
//! Bevy's render world has the device and the queue. A thread loads the model and prepares the run on them; then each
//! frame encodes a slice of a step, and after each step the slices of its preview, which is copied into the texture of
//! a Bevy image. Nothing is read back, and no frame waits.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use bevy::asset::RenderAssetUsages;
use bevy::prelude::*;
use bevy::render::render_asset::RenderAssets;
use bevy::render::render_resource::{Extent3d, TextureDimension, TextureFormat, TextureUsages};
use bevy::render::renderer::{RenderAdapter, RenderDevice, RenderQueue};
use bevy::render::texture::GpuImage;
use bevy::render::{Render, RenderApp, RenderSystems};
use foveate::{Gpu, LoadOptions, Pipeline, Request, Run, Size, Source, Viewer, wgpu};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/scenes");

/// Pixels of the picture's sides.
const SIDE: usize = 64;

/// What a frame can spare.
const BUDGET: Duration = Duration::from_millis(4);

/// The image on the sprite, in both worlds.
#[derive(Resource, Clone)]
struct Canvas(Handle<Image>);

/// A run that is prepared on another thread, and what is drawn of it.
#[derive(Resource)]
enum Drawing {
    Preparing(Mutex<Receiver<foveate::Result<(Gpu, Run, Viewer)>>>),
    Steps(Gpu, Run, Viewer),
    Preview(Gpu, Run, Viewer),
    Done,
}

fn main() {
    let mut app = App::new();
    app.add_plugins(DefaultPlugins);
    let canvas = Canvas(app.world_mut().resource_mut::<Assets<Image>>().add(empty()));
    app.insert_resource(canvas.clone()).add_systems(Startup, setup);
    let render = app.sub_app_mut(RenderApp);
    render.insert_resource(canvas).add_systems(Render, draw.in_set(RenderSystems::PrepareResources));
    app.run();
}

/// A grey image that pictures can be copied into.
fn empty() -> Image {
    let size = Extent3d { width: SIDE as u32, height: SIDE as u32, depth_or_array_layers: 1 };
    let (grey, format) = ([90, 90, 90, 255], TextureFormat::Rgba8Unorm);
    let mut image = Image::new_fill(size, TextureDimension::D2, &grey, format, RenderAssetUsages::RENDER_WORLD);
    image.texture_descriptor.usage = TextureUsages::COPY_DST | TextureUsages::TEXTURE_BINDING;
    image
}

/// A camera, and a sprite with the image.
fn setup(mut commands: Commands, canvas: Res<Canvas>) {
    commands.spawn(Camera2d);
    commands.spawn(Sprite { image: canvas.0.clone(), custom_size: Some(Vec2::splat(512.0)), ..default() });
}

/// Once a frame, in the render world.
fn draw(
    mut commands: Commands,
    drawing: Option<ResMut<Drawing>>,
    canvas: Res<Canvas>,
    images: Res<RenderAssets<GpuImage>>,
    (device, queue, adapter): (Res<RenderDevice>, Res<RenderQueue>, Res<RenderAdapter>),
) {
    let Some(mut drawing) = drawing else {
        return commands.insert_resource(prepare(&adapter, device.wgpu_device(), &queue));
    };
    let Some(image) = images.get(&canvas.0) else { return };
    let now = std::mem::replace(&mut *drawing, Drawing::Done);
    match advance(now, image, &queue) {
        Ok(next) => *drawing = next,
        Err(error) => error!("{error}"),
    }
}

/// Loads and prepares on another thread: files, pipelines, the text.
fn prepare(adapter: &wgpu::Adapter, device: &wgpu::Device, queue: &wgpu::Queue) -> Drawing {
    let (sender, receiver) = channel();
    let (adapter, device, queue) = (adapter.clone(), device.clone(), queue.clone());
    thread::spawn(move || {
        let prepared = pollster::block_on(async {
            let gpu = Gpu::from_wgpu(&adapter, device, queue)?;
            gpu.set_slice(BUDGET);
            let pipeline = Pipeline::load(&gpu, Source::parse(MODEL), LoadOptions::default(), |_| {}).await?;
            let size = Some(Size::square(SIDE));
            let run = pipeline.prepare(&Request { seed: 9, size, ..Request::prompt("a red house") }).await?;
            let viewer = run.viewer().await?;
            Ok((gpu, run, viewer))
        });
        // Nobody listens any more where the window was closed.
        _ = sender.send(prepared);
    });
    Drawing::Preparing(Mutex::new(receiver))
}

/// What a frame does for the picture.
fn advance(drawing: Drawing, image: &GpuImage, queue: &RenderQueue) -> foveate::Result<Drawing> {
    Ok(match drawing {
        Drawing::Preparing(receiver) => {
            let prepared = receiver.lock().ok().and_then(|receiver| receiver.try_recv().ok());
            match prepared {
                Some(prepared) => prepared.map(|(gpu, run, viewer)| Drawing::Steps(gpu, run, viewer))?,
                None => Drawing::Preparing(receiver),
            }
        }
        Drawing::Steps(gpu, mut run, viewer) => {
            let Some(step) = run.next_step() else { return Ok(Drawing::Done) };
            let mut encoder = gpu.encoder();
            let done = step.encode_slice(&mut encoder, BUDGET)?;
            queue.submit([encoder.finish()]);
            if done { Drawing::Preview(gpu, run, viewer) } else { Drawing::Steps(gpu, run, viewer) }
        }
        Drawing::Preview(gpu, run, mut viewer) => {
            let mut encoder = gpu.encoder();
            let picture = viewer.encode_slice(&mut encoder, BUDGET)?;
            if let Some(picture) = &picture {
                let (from, to) = (picture.as_image_copy(), image.texture.as_image_copy());
                encoder.copy_texture_to_texture(from, to, picture.size());
            }
            queue.submit([encoder.finish()]);
            if picture.is_some() { Drawing::Steps(gpu, run, viewer) } else { Drawing::Preview(gpu, run, viewer) }
        }
        Drawing::Done => Drawing::Done,
    })
}
