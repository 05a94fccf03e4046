//! The loss of the window's device: a driver was updated, or stopped by the system. The toolkit cannot draw its window
//! on another one, so the program starts itself again. Queue and history are on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Says that the program was started after a loss.
pub const AFTER_LOSS: &str = "--after-loss";
/// Has the program lose its device, once.
pub const LOSE_DEVICE: &str = "--lose-device";
/// A device that is lost again within this time stays lost.
const SOON: Duration = Duration::from_secs(60);

/// The window's device, once there is one.
pub type Watched = Arc<OnceLock<wgpu::Device>>;

/// Shows the window by `show`, until it is closed. Where that fails because its device is lost, the program is started
/// again.
pub fn survive(after_loss: bool, show: impl FnOnce(Watched) -> Result<(), String>) -> Result<(), String> {
    let (began, device) = (Instant::now(), Watched::default());
    // Without its device the toolkit panics.
    let shown = catch_unwind(AssertUnwindSafe(|| show(device.clone())));
    if matches!(shown, Ok(Ok(()))) || !device.get().is_some_and(is_lost) {
        return shown.unwrap_or_else(|panic| resume_unwind(panic));
    }
    match after_loss && began.elapsed() < SOON {
        true => {
            Err("the graphics device was lost twice. Start the app again; the queue and the history are kept".into())
        }
        false => again(),
    }
}

/// Whether a device is gone: of all that it is asked for, mapping a buffer alone fails with a word then.
fn is_lost(device: &wgpu::Device) -> bool {
    let refused = Arc::new(AtomicBool::new(false));
    let told = refused.clone();
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: Some("probe"), size: 4, usage, mapped_at_creation: false };
    let probe = device.create_buffer(&descriptor);
    probe.map_async(wgpu::MapMode::Read, .., move |mapped| told.store(mapped.is_err(), Ordering::Release));
    let lost = refused.load(Ordering::Acquire);
    drop(scope.pop());
    lost
}

/// Starts the program with the options that it has, and does not wait for it.
fn again() -> Result<(), String> {
    let failed = |error: std::io::Error| {
        format!("the graphics device was lost. Start the app again; the queue and the history are kept ({error})")
    };
    let options = std::env::args_os().skip(1).filter(|option| option != LOSE_DEVICE && option != AFTER_LOSS);
    let program = std::env::current_exe().map_err(failed)?;
    Command::new(program).args(options).arg(AFTER_LOSS).spawn().map(drop).map_err(failed)
}
