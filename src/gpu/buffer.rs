//! A GPU buffer, how it is filled, and how it is read back.

use std::ops::Deref;
use std::sync::Arc;

use super::Gpu;
use super::oneshot::oneshot;
use crate::device::{Buffer, DeviceId};
use crate::memory::Taken;
use crate::{Error, Result};

/// A storage buffer: what lies behind a GPU's [`Buffer`]. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Storage(pub Arc<Owned>);

/// Memory of the device that ends with its last owner, and its entry in the account.
#[derive(Debug)]
pub(super) struct Owned {
    buffer: wgpu::Buffer,
    _taken: Option<Taken>,
}

/// A browser frees memory when it collects its garbage, which does not count memory on the device. So it is freed here.
/// What was submitted before still runs.
#[cfg(target_arch = "wasm32")]
impl Drop for Owned {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

impl Deref for Owned {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

impl Buffer {
    /// The wgpu buffer, for hosts that bind it themselves; an error where no GPU made it.
    pub fn raw(&self) -> Result<&wgpu::Buffer> {
        let storage: Option<&Storage> = self.behind();
        storage.map(|storage| &**storage.0).ok_or_else(|| Error::NotThisDevice { what: "a buffer".into() })
    }

    /// The buffer of the GPU `device`; an error where another device made it.
    pub(super) fn storage(&self, device: DeviceId) -> Result<&Storage> {
        self.backing(device)
    }
}

impl Gpu {
    /// A buffer of this device, outside its account.
    pub(super) fn own(&self, buffer: wgpu::Buffer) -> Buffer {
        self.owned(buffer, None)
    }

    fn owned(&self, buffer: wgpu::Buffer, taken: Option<Taken>) -> Buffer {
        Buffer::new(self.id(), buffer.size(), Arc::new(Storage(Arc::new(Owned { buffer, _taken: taken }))))
    }

    /// Creates a storage buffer of `bytes` (rounded up to 16, so that kernels can see all of it as
    /// vec4), zeroed. `what` names it in errors and captures.
    pub async fn allocate(&self, bytes: u64, what: &str) -> Result<Buffer> {
        let size = bytes.checked_next_multiple_of(16).unwrap_or(u64::MAX).max(16);
        self.caps().check_tensor(what, size)?;
        let taken = self.account().take(what, size)?;
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::UNIFORM
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let error = self.unless_lost(scope.pop()).await?;
        self.alive()?;
        match error {
            None => Ok(self.owned(buffer, Some(taken))),
            Some(_) => Err(Error::OutOfMemory(format!("allocating {size} bytes for {what}"))),
        }
    }

    /// Queues a write of `bytes` (a multiple of 4) at `offset` (another).
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let storage = buffer.storage(self.id())?;
        buffer.check_range(offset, bytes.len() as u64)?;
        self.alive()?;
        self.queue().write_buffer(&storage.0, offset, bytes);
        Ok(())
    }

    /// Hands queued writes to the device and waits until their staging memory is free again.
    /// Streaming a model calls this every few dozen MiB, so that its size is never held twice.
    pub async fn flush(&self) -> Result<()> {
        self.alive()?;
        self.queue().submit([]);
        self.wait().await
    }

    /// Reads `bytes` bytes from the start of `buffer`: submits a copy, waits, maps.
    pub async fn read(&self, buffer: &Buffer, bytes: u64) -> Result<Vec<u8>> {
        let raw = &buffer.storage(self.id())?.0;
        self.alive()?;
        let size = bytes.min(raw.size()).next_multiple_of(4);
        let _taken = self.account().take("reading back", size)?;
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let staging = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if self.unless_lost(scope.pop()).await?.is_some() {
            return Err(Error::OutOfMemory(format!("reading back {size} bytes")));
        }
        self.submit_copy(raw, &staging, size);
        let (sender, receiver) = oneshot();
        staging.map_async(wgpu::MapMode::Read, .., move |result| sender.send(result));
        self.wait().await?; // finds the loss of a borrowed device
        let mapped: Result<(), wgpu::BufferAsyncError> = self.unless_lost(receiver).await?;
        mapped.map_err(|e| Error::Gpu(format!("mapping a readback: {e}")))?;
        let read = {
            let view = staging.get_mapped_range(..).map_err(|e| Error::Gpu(format!("mapping a readback: {e}")))?;
            view[..bytes.min(size) as usize].to_vec()
        };
        // A browser would keep it until its garbage is collected.
        staging.destroy();
        Ok(read)
    }
}
