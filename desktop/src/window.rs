//! Opens the window: on a GPU where there is one, whose device Foveate then shares; else on whatever can show it.

use std::process::ExitCode;
use std::sync::Arc;

use eframe::egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew};
use eframe::{CreationContext, NativeOptions};
use egui::{IconData, ViewportBuilder, vec2};
use foveate_desktop::app::App;
use foveate_desktop::engine::Shared;
use foveate_desktop::theme;
use wgpu::{Adapter, DeviceDescriptor, Limits};

use crate::arguments::Arguments;
use crate::loss::Watched;
use crate::startup::Startup;

/// The app in its window.
struct Window {
    app: App,
    /// Where only the start is timed.
    startup: Option<Startup>,
    /// The window's device, where it is to be lost.
    victim: Option<wgpu::Device>,
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &egui::Context, _: &mut eframe::Frame) {
        self.app.logic(ctx);
        if let Some(victim) = self.victim.take_if(|_| self.app.model().facts().is_some()) {
            victim.destroy();
        }
        if let Some(startup) = &mut self.startup {
            startup.frame(ctx, self.app.model());
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        self.app.ui(ui);
    }
}

/// Opens it, and returns when it is closed.
pub fn open(arguments: Arguments, startup: Startup, watched: Watched) -> Result<(), String> {
    let viewport = ViewportBuilder::default().with_title("Foveate").with_app_id("foveate").with_icon(icon()?);
    let setup =
        WgpuSetupCreateNew { device_descriptor: Arc::new(descriptor), ..WgpuSetupCreateNew::without_display_handle() };
    let options = NativeOptions {
        viewport: viewport.with_inner_size(vec2(1180.0, 780.0)).with_min_inner_size(vec2(640.0, 480.0)),
        wgpu_options: WgpuConfiguration { wgpu_setup: WgpuSetup::CreateNew(setup), ..WgpuConfiguration::default() },
        persistence_path: Some(arguments.places.window()),
        ..NativeOptions::default()
    };
    let start =
        move |context: &CreationContext<'_>| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
            theme::dress(&context.egui_ctx);
            let shared = context.wgpu_render_state.as_ref().and_then(shared);
            let ctx = context.egui_ctx.clone();
            let mut app = App::new(arguments.places, shared, Arc::new(move || ctx.request_repaint()))?;
            if arguments.after_loss {
                app.warn(
                    "The graphics device was lost, and the app has started again. The queue and the history are kept.",
                );
            }
            let device = context.wgpu_render_state.as_ref().map(|state| state.device.clone());
            device.iter().for_each(|device| drop(watched.set(device.clone())));
            let startup = arguments.startup_time.then(|| startup.opened());
            Ok(Box::new(Window { app, startup, victim: device.filter(|_| arguments.lose_device) }))
        };
    eframe::run_native("foveate", options, Box::new(start)).map_err(|error| match error {
        eframe::Error::AppCreation(error) => format!("the app could not start: {error}"),
        eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_) => {
            "no window could be opened: there is no display. Start the app on a desktop".into()
        }
        error => format!(
            "no window could be opened, since no graphics driver can show one. Install one for Vulkan or OpenGL \
             (Debian, Ubuntu: apt-get install mesa-vulkan-drivers libgl1-mesa-dri libegl1). The driver's own words: \
             {error}"
        ),
    })
}

/// Says why the program ends, on stderr and, where one can be shown, in a dialog.
pub fn complain(what: &str, code: u8) -> ExitCode {
    eprintln!("error: {what}");
    // Where there is a console to read it in, that is enough.
    if !std::io::IsTerminal::is_terminal(&std::io::stderr()) && cfg!(any(windows, target_os = "macos")) {
        rfd::MessageDialog::new().set_level(rfd::MessageLevel::Error).set_title("Foveate").set_description(what).show();
    }
    ExitCode::from(code)
}

/// What the window's device is asked for. Where Foveate does not share it, little, but for as many pixels as the
/// largest screens have.
fn descriptor(adapter: &Adapter) -> DeviceDescriptor<'static> {
    if Shared::serves(adapter) {
        return Shared::descriptor(adapter);
    }
    let most = adapter.limits().max_texture_dimension_2d.min(8192);
    let required_limits = Limits { max_texture_dimension_2d: most, ..Limits::downlevel_webgl2_defaults() };
    DeviceDescriptor { label: Some("foveate window"), required_limits, ..DeviceDescriptor::default() }
}

/// The window's device, where Foveate can draw on it.
fn shared(state: &RenderState) -> Option<Shared> {
    let RenderState { adapter, device, queue, .. } = state;
    if !Shared::serves(adapter) {
        return None;
    }
    Some(Shared::new(adapter.clone(), device.clone(), queue.clone()))
}

/// The icon of the window and the dock. An app of macOS has one already, with the margin that its dock expects.
fn icon() -> Result<IconData, String> {
    if std::env::current_exe().is_ok_and(|program| program.to_string_lossy().contains(".app/Contents/")) {
        return Ok(IconData::default());
    }
    let png = include_bytes!("../../packaging/icons/foveate.png");
    eframe::icon_data::from_png_bytes(png).map_err(|error| format!("the icon: {error}"))
}
