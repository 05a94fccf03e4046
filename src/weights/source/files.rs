//! Files that the host program keeps: what a browser's cache or a game's archive implements.

use std::fmt::Debug;
use std::ops::Range;
use std::pin::Pin;

use crate::Result;

/// An answer under way. Natively it may move between threads; a browser's cannot.
#[cfg(not(target_arch = "wasm32"))]
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
/// An answer under way. Natively it may move between threads; a browser's cannot.
#[cfg(target_arch = "wasm32")]
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Marks what natively must be shared between threads.
#[cfg(not(target_arch = "wasm32"))]
pub trait Shared: Send + Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync> Shared for T {}
/// Marks what natively must be shared between threads.
#[cfg(target_arch = "wasm32")]
pub trait Shared {}
#[cfg(target_arch = "wasm32")]
impl<T> Shared for T {}

/// A model folder of the host's. Paths are '/'-separated and cannot leave it; both is checked before these are called.
pub trait Files: Debug + Shared {
    /// The size of `file` in bytes.
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64>;
    /// Whether there is such a file. What cannot be found out is an error.
    fn exists<'a>(&'a self, file: &'a str) -> Reading<'a, bool>;
    /// The bytes `range` of `file`, which lie inside it.
    fn read_range<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>>;
    /// `file` as messages name it.
    fn display(&self, file: &str) -> String;
}
