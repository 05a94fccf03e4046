//! Which device made a buffer or a program.

use std::sync::atomic::{AtomicU64, Ordering};

/// A device's identity. What a device makes carries it, so that no other device of the same kind takes it for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId(u64);

impl DeviceId {
    /// An identity that no other device of this process has.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
