//! What a device's memory is used for: counted, asked for, and bounded.

use std::sync::{Arc, Mutex};

use crate::shared::lock;
use crate::{Error, Result};

/// Bytes that a device holds for Foveate: weights, values in flight, what runs store. What a driver needs beside them
/// is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// In use.
    pub current: u64,
    /// The most that was in use at once.
    pub peak: u64,
    /// The most that may be. None: what the device has.
    pub limit: Option<u64>,
}

/// Keeps count of a device's memory. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<Mutex<MemoryUse>>);

/// Bytes in use until this is dropped.
#[derive(Debug)]
pub struct Taken {
    account: Account,
    bytes: u64,
}

impl Account {
    /// What is in use.
    pub fn used(&self) -> MemoryUse {
        *lock(&self.0)
    }

    /// Bounds what is taken from here on.
    pub fn limit(&self, limit: Option<u64>) {
        lock(&self.0).limit = limit;
    }

    /// Takes so many bytes for `what`, where the limit allows it.
    pub fn take(&self, what: &str, bytes: u64) -> Result<Taken> {
        let mut used = lock(&self.0);
        let after = used.current.saturating_add(bytes);
        if let Some(limit) = used.limit.filter(|&limit| after > limit) {
            return Err(Error::MemoryLimit { what: what.into(), needed: bytes, used: used.current, limit });
        }
        (used.current, used.peak) = (after, used.peak.max(after));
        Ok(Taken { account: self.clone(), bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.account.0).current -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again_and_no_more_than_the_limit() {
        let account = Account::default();
        let one = account.take("one", 60).unwrap();
        account.limit(Some(100));
        let two = account.take("two", 40).unwrap();
        let error = account.take("three", 1).unwrap_err();
        assert_eq!(error.to_string(), "out of memory: three needs 1 bytes, and 100 of the 100 allowed are in use");
        drop(one);
        assert_eq!(account.used(), MemoryUse { current: 40, peak: 100, limit: Some(100) });
        assert!(account.take("four", u64::MAX).is_err());
        drop(two);
        assert_eq!(account.used().current, 0);
    }
}
