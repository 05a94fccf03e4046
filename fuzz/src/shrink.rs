//! A smaller input that fails alike.

use std::path::Path;
use std::time::{Duration, Instant};

use foveate_fuzz::targets::Target;

use crate::process::{Failure, fails};

/// How long it is tried.
const TIME: Duration = Duration::from_secs(10);

/// Leaves out parts, each time smaller ones, as long as the input fails alike.
pub fn shrink(target: &Target, failure: &Failure, folder: &Path) -> std::io::Result<Vec<u8>> {
    let (kind, end) = (failure.kind(), Instant::now() + TIME);
    let mut small = failure.input.clone();
    let mut part = small.len() / 2;
    while part > 0 {
        let mut start = 0;
        while start < small.len() {
            if Instant::now() > end {
                return Ok(small);
            }
            let without = [&small[..start], &small[(start + part).min(small.len())..]].concat();
            match fails(target, &without, folder)? {
                Some(failure) if failure.kind() == kind => small = without,
                _ => start += part,
            }
        }
        part /= 2;
    }
    Ok(small)
}
