//! What differs between threads and a browser: natively the library's values may move between threads, while a
//! browser's stay where they were made.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use std::time::Instant;

#[cfg(target_arch = "wasm32")]
pub(crate) use web_time::Instant;

use crate::Result;

/// An answer under way. Natively it may move between threads; a browser's cannot.
#[cfg(not(target_arch = "wasm32"))]
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
/// An answer under way. Natively it may move between threads; a browser's cannot.
#[cfg(target_arch = "wasm32")]
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Marks what natively must be shared between threads.
#[cfg(not(target_arch = "wasm32"))]
pub trait Shared: Send + Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync + ?Sized> Shared for T {}
/// Marks what natively must be shared between threads.
#[cfg(target_arch = "wasm32")]
pub trait Shared {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> Shared for T {}

/// A poisoned lock means another thread panicked while holding plain data; the data is still sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
