//! Words behind a lock, and what was derived from them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use super::Derived;
use crate::memory::Taken;
use crate::shared::lock;

/// A piece of host memory. Cloning shares it; it ends with its last owner.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    words: RwLock<Vec<u32>>,
    /// Forgotten at the next write.
    derived: Mutex<Option<(Derived, Reserved)>>,
    /// Given back with the words.
    _taken: Taken,
}

impl Memory {
    /// Memory of these words, which count as `taken`.
    pub fn new(words: Vec<u32>, taken: Taken) -> Self {
        Self(Arc::new(Inner { words: RwLock::new(words), derived: Mutex::default(), _taken: taken }))
    }

    /// The words to read; none where somebody writes them.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, Vec<u32>>> {
        match self.0.words.try_read() {
            Ok(guard) => Some(guard),
            // A panic elsewhere left plain data, which is still sound.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The words to write; none where somebody reads or writes them. What was derived from them is forgotten.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, Vec<u32>>> {
        *lock(&self.0.derived) = None;
        match self.0.words.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What was derived from the words as they are.
    pub fn derived<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let derived = lock(&self.0.derived);
        derived.as_ref().and_then(|(derived, _)| derived.clone().downcast().ok())
    }

    /// Keeps what was derived from the words as they are, with the room it takes.
    pub fn keep(&self, derived: Derived, reserved: Reserved) {
        *lock(&self.0.derived) = Some((derived, reserved));
    }
}

/// How many bytes may be kept beside the weights. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU64>);

/// Bytes of a [`Budget`]; dropping them gives them back.
#[derive(Debug)]
pub struct Reserved {
    of: Budget,
    bytes: u64,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// Takes bytes, where so many are left.
    pub fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.ok().map(|_| Reserved { of: self.clone(), bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}
