//! A device's memory, as everybody but the device sees it.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use crate::graph::ValueId;
use crate::shared::Shared;
use crate::{Error, Result};

/// What a device keeps behind a [`Buffer`]; only that device looks inside.
pub trait Backing: Any + Debug + Shared {}
impl<T: Any + Debug + Shared> Backing for T {}

/// A piece of a device's memory. Cloning shares it; it ends with its last owner.
#[derive(Clone, Debug)]
pub struct Buffer {
    bytes: u64,
    backing: Arc<dyn Backing>,
}

impl Buffer {
    /// A buffer of `bytes` bytes: what a device makes of its memory.
    pub fn new(bytes: u64, backing: Arc<dyn Backing>) -> Self {
        Self { bytes, backing }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// What lies behind it, for the kind of device that made it; a buffer of another kind is an error.
    pub fn backing<T: Backing>(&self) -> Result<&T> {
        let backing: &dyn Any = &*self.backing;
        backing.downcast_ref().ok_or_else(|| Error::NotThisDevice { what: "a buffer".into() })
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
