//! Things of the device made many at a time, under few error scopes. A scope is a question to the device: in a browser
//! each is a message to another process and back.

use super::Gpu;
use crate::shared::Shared;
use crate::text::one_line;
use crate::{Error, Result};

impl Gpu {
    /// Makes `count` things, in their order, natively on as many threads as there are processors, each under an error
    /// scope of its own for all that it makes. In a browser one thread makes them, under one scope. Where one is not
    /// valid, `describe` says in the error which.
    pub(super) async fn side_by_side<T: Shared>(
        &self,
        count: usize,
        make: impl Fn(usize) -> T + Shared,
        describe: impl Fn(usize) -> String + Shared,
    ) -> Result<Vec<T>> {
        let shares = share_out(count, |numbers| {
            let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
            let made: Vec<(usize, T)> = numbers.map(|number| (number, make(number))).collect();
            (made, scope.pop())
        });
        let (mut all, mut found) = (Vec::with_capacity(count), None);
        for (made, scope) in shares {
            all.extend(made);
            found = self.unless_lost(scope).await?.or(found);
        }
        match found {
            None => {
                all.sort_unstable_by_key(|(number, _)| *number);
                Ok(all.into_iter().map(|(_, made)| made).collect())
            }
            Some(error) => Err(self.which(count, make, describe).await?.unwrap_or_else(|| invalid(&error))),
        }
    }

    /// [`Gpu::side_by_side`] for what is made in no time: one thread, one scope.
    pub(super) async fn in_one_scope<T: Shared>(
        &self,
        count: usize,
        make: impl Fn(usize) -> T + Shared,
        describe: impl Fn(usize) -> String + Shared,
    ) -> Result<Vec<T>> {
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let all = (0..count).map(&make).collect();
        match self.unless_lost(scope.pop()).await? {
            None => Ok(all),
            Some(error) => Err(self.which(count, make, describe).await?.unwrap_or_else(|| invalid(&error))),
        }
    }

    /// The error of the first of several things that is not valid, each made anew under a scope of its own.
    async fn which<T>(
        &self,
        count: usize,
        make: impl Fn(usize) -> T + Shared,
        describe: impl Fn(usize) -> String + Shared,
    ) -> Result<Option<Error>> {
        self.alive()?;
        for number in 0..count {
            let what = describe(number);
            let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
            make(number);
            if let Some(error) = self.unless_lost(scope.pop()).await? {
                self.alive()?;
                return Ok(Some(Error::Gpu(format!("{what}: {}", one_line(&error.to_string())))));
            }
        }
        Ok(None)
    }
}

fn invalid(error: &wgpu::Error) -> Error {
    Error::Gpu(one_line(&error.to_string()))
}

/// Deals the numbers below `count` out to workers, each of which takes the next one until none is left.
#[cfg(not(target_arch = "wasm32"))]
fn share_out<R: Send>(count: usize, worker: impl Fn(&mut dyn Iterator<Item = usize>) -> R + Sync) -> Vec<R> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    let next = AtomicUsize::new(0);
    let work = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
        worker(&mut std::iter::from_fn(take))
    };
    let others = thread::available_parallelism().map_or(1, usize::from).min(count).saturating_sub(1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut all = vec![work()];
        for thread in threads {
            match thread.join() {
                Ok(share) => all.push(share),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// The one worker of a browser's thread.
#[cfg(target_arch = "wasm32")]
fn share_out<R>(count: usize, worker: impl Fn(&mut dyn Iterator<Item = usize>) -> R) -> Vec<R> {
    vec![worker(&mut (0..count))]
}
