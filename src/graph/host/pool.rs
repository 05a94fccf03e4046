//! The caller's threads. Work is shared out by output: no sum is ever split by the number of threads, so the bytes are
//! the same for any number.

use crate::Result;

/// So many threads, of its own. In a browser: those that the page has started, or the one that calls.
#[derive(Debug)]
pub struct Pool {
    threads: usize,
    #[cfg(not(target_arch = "wasm32"))]
    pool: Option<rayon::ThreadPool>,
}

/// Runs rayon's parallel iterators on the pool, where there are several threads.
macro_rules! in_parallel {
    ($pool:expr, $work:expr) => {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(pool) = &$pool.pool {
            use rayon::prelude::*;
            return pool.install(|| $work);
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
        if $pool.threads > 1 {
            use rayon::prelude::*;
            return $work;
        }
    };
}

impl Pool {
    /// So many threads; none given: as many as the system offers.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(threads: Option<usize>) -> Result<Self> {
        let offered = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = threads.unwrap_or_else(offered).max(1);
        // A single one is the caller's own.
        let build = || {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.thread_name(|index| format!("foveate {index}")).build()
        };
        let pool = (threads > 1).then(build).transpose();
        let pool = pool.map_err(|error| crate::Error::io("threads", std::io::Error::other(error)))?;
        Ok(Self { threads, pool })
    }

    /// The page's threads, which are rayon's own; one given: the caller's.
    #[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
    pub fn new(threads: Option<usize>) -> Result<Self> {
        Ok(Self { threads: if threads == Some(1) { 1 } else { rayon::current_num_threads() } })
    }

    /// The one thread there is.
    #[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
    pub fn new(_threads: Option<usize>) -> Result<Self> {
        Ok(Self { threads: 1 })
    }

    /// How many.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on one of the threads, from which the others are at hand fastest.
    ///
    /// A thread of another rayon pool would do other work of that pool meanwhile. If that asks for the same device, the
    /// thread waits for itself. So it hands the work to a thread that is in no pool, and only waits.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) if rayon::current_thread_index().is_some() => std::thread::scope(|scope| {
                let outside = scope.spawn(|| pool.install(work)).join();
                outside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Runs `work` here: what a browser's thread holds does not leave it.
    #[cfg(target_arch = "wasm32")]
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }

    /// Fills `out`, `size` elements at a time; `work` receives a chunk's number and the chunk.
    pub fn chunks<T: Send>(&self, out: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let size = size.max(1);
        if out.len() > size {
            in_parallel!(self, out.par_chunks_mut(size).enumerate().for_each(|(index, chunk)| work(index, chunk)));
        }
        out.chunks_mut(size).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }

    /// Computes `count` results, in order.
    pub fn map<R: Send>(&self, count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
        if count > 1 {
            in_parallel!(self, (0..count).into_par_iter().map(&work).collect());
        }
        (0..count).map(work).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::lock;
    use rayon::prelude::*;
    use std::sync::Mutex;

    /// The device holds its lock while its threads work: a caller's thread must not come back to it meanwhile.
    #[test]
    fn threads_of_another_pool_wait_their_turn() {
        let (pool, turn) = (Pool::new(Some(2)).unwrap(), Mutex::new(()));
        let callers = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let run = |index: usize| {
            let _turn = lock(&turn);
            pool.enter(|| pool.map(16, |i| i + index).into_iter().sum::<usize>())
        };
        let sums: Vec<usize> = callers.install(|| (0..256).into_par_iter().map(run).collect());
        assert!(sums.into_iter().enumerate().all(|(index, sum)| sum == 120 + 16 * index));
    }
}
