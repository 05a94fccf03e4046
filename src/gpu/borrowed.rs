//! A device that belongs to a host program: its loss is told to the host alone, and so are its errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::fault::Fault;
use crate::{Error, Result};

/// What is asked of a borrowed device, without waiting. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Borrowed {
    /// Whether the queue has said that what the host had submitted is done.
    told: Arc<AtomicBool>,
}

impl Borrowed {
    pub fn new(queue: &wgpu::Queue) -> Self {
        let told = Arc::new(AtomicBool::new(cfg!(target_arch = "wasm32")));
        if cfg!(not(target_arch = "wasm32")) {
            let tells = told.clone();
            queue.on_submitted_work_done(move || tells.store(true, Ordering::Release));
        }
        Self { told }
    }

    /// Fails where the device is gone, or the queue is another device's. A browser refuses later, so that nothing is
    /// learnt there.
    pub fn check(&self, device: &wgpu::Device, fault: &Fault) -> Result<()> {
        if cfg!(target_arch = "wasm32") {
            return Ok(());
        }
        check_maps(device, fault)?;
        if !self.told.load(Ordering::Acquire) {
            let polled = device.poll(wgpu::PollType::Poll);
            // The device has nothing left to do, and its queue has not said so: what is submitted there would be
            // waited for without end.
            if polled.is_ok_and(|status| status.is_queue_empty()) && !self.is_told_soon() {
                return Err(Error::NotThisDevice { what: "the queue".into() });
            }
        }
        Ok(())
    }
}

impl Borrowed {
    /// Whether the queue has said so, or says so within a moment: another thread that polls may be about to call back.
    /// Only a wrong queue has to wait for all of it.
    fn is_told_soon(&self) -> bool {
        (0..100).any(|_| {
            let told = self.told.load(Ordering::Acquire);
            if !told {
                std::thread::sleep(Duration::from_micros(200));
            }
            told
        })
    }
}

/// Fails where the device is gone. Of all that it is asked for, mapping a buffer alone fails with a word then.
pub(super) fn check_maps(device: &wgpu::Device, fault: &Fault) -> Result<()> {
    if cfg!(not(target_arch = "wasm32")) && !maps(device) {
        fault.lose("it was destroyed, or its driver has restarted".into());
    }
    fault.lost()
}

fn maps(device: &wgpu::Device) -> bool {
    let refused = Arc::new(AtomicBool::new(false));
    let told = refused.clone();
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let probe = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("probe"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    // A device that is gone refuses at once. Another would map it later, when nobody asks any more.
    probe.map_async(wgpu::MapMode::Read, .., move |mapped| {
        if mapped.is_err() {
            told.store(true, Ordering::Release);
        }
    });
    let refused = refused.load(Ordering::Acquire);
    drop(scope.pop());
    !refused
}
