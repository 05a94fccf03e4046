//! A device's memory, as everybody but the device sees it.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::DeviceId;
use crate::graph::ValueId;
use crate::shared::Shared;
use crate::{Error, Result};

/// What a device keeps behind a [`Buffer`]; only that device looks inside.
pub trait Backing: Any + Debug + Shared {}
impl<T: Any + Debug + Shared> Backing for T {}

/// A piece of a device's memory. Cloning shares it; it ends with its last owner.
#[derive(Clone, Debug)]
pub struct Buffer {
    owner: DeviceId,
    bytes: u64,
    backing: Arc<dyn Backing>,
}

impl Buffer {
    /// A buffer of `bytes` bytes: what the device `owner` makes of its memory.
    pub fn new(owner: DeviceId, bytes: u64, backing: Arc<dyn Backing>) -> Self {
        Self { owner, bytes, backing }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// What lies behind it, for the device that made it; for any other it is an error.
    pub fn backing<T: Backing>(&self, device: DeviceId) -> Result<&T> {
        let backing = self.behind().filter(|_| self.owner == device);
        backing.ok_or_else(|| Error::NotThisDevice { what: "a buffer".into() })
    }

    /// What lies behind it, where a device of this kind made it.
    pub(crate) fn behind<T: Backing>(&self) -> Option<&T> {
        let backing: &dyn Any = &*self.backing;
        backing.downcast_ref()
    }

    /// Fails where `bytes` bytes at `offset` do not lie inside, or where either is no multiple of 4.
    pub(crate) fn check_range(&self, offset: u64, bytes: u64) -> Result<()> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        if inside && (offset | bytes).is_multiple_of(4) {
            return Ok(());
        }
        let fault = if inside { "are no whole words of" } else { "do not lie in" };
        Err(Error::tensor("of a buffer", format!("{bytes} bytes at {offset} {fault} its {}", self.bytes)))
    }
}

/// Where each value of a graph lies: one buffer, several for a weight that was split by rows, none for a value that no
/// op touches.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<Vec<Buffer>>);

impl Places {
    /// The buffers of each value, by its [`ValueId`].
    pub fn new(parts: Vec<Vec<Buffer>>) -> Self {
        Self(parts)
    }

    /// The buffers that a value lies in.
    pub fn parts(&self, id: ValueId) -> &[Buffer] {
        self.0.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// All buffers.
    pub fn all(&self) -> impl Iterator<Item = &Buffer> {
        self.0.iter().flatten()
    }
}

/// Zeroed words for `bytes` bytes of this computer's memory, for devices that compute in it. Where there is no room,
/// that is an error: an allocation as usual would end the process.
pub(super) fn zeroed_words(bytes: u64, what: &str) -> Result<Vec<u32>> {
    let (count, mut words) = (usize::try_from(bytes / 4).unwrap_or(usize::MAX), Vec::new());
    let room = words.try_reserve_exact(count);
    room.map_err(|_| Error::OutOfMemory(format!("allocating {bytes} bytes for {what}")))?;
    words.resize(count, 0);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        // More than any address.
        for bytes in [1 << 60, u64::MAX] {
            let error = zeroed_words(bytes, "x").unwrap_err();
            assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
            assert_eq!(error.to_string(), format!("out of memory while allocating {bytes} bytes for x"));
        }
        assert_eq!(zeroed_words(8, "x").unwrap(), [0, 0]);
    }
}
