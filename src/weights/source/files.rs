//! Files that the host program keeps: what a browser's cache or a game's archive implements.

use std::fmt::Debug;
use std::ops::Range;

use crate::shared::{Shared, Work};

/// A model folder of the host's. Paths are '/'-separated and cannot leave it; both is checked before these are called.
pub trait Files: Debug + Shared {
    /// The size of `file` in bytes.
    fn size<'a>(&'a self, file: &'a str) -> Work<'a, u64>;
    /// Whether there is such a file. What cannot be found out is an error.
    fn exists<'a>(&'a self, file: &'a str) -> Work<'a, bool>;
    /// The bytes `range` of `file`, which lie inside it.
    fn read_range<'a>(&'a self, file: &'a str, range: Range<u64>) -> Work<'a, Vec<u8>>;
    /// `file` as messages name it.
    fn display(&self, file: &str) -> String;
}
