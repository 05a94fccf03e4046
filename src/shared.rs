//! What natively may move between threads, and in a browser cannot.

use std::pin::Pin;

use crate::Result;

/// An answer under way.
#[cfg(not(target_arch = "wasm32"))]
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
/// An answer under way.
#[cfg(target_arch = "wasm32")]
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;
