//! The process that runs one target: the inputs of its corpus, then changed ones until the time is over.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foveate_fuzz::mutate::mutated;
use foveate_fuzz::targets::Target;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::guard;

/// The most inputs that are kept because they led to something new.
const MOST_KEPT: usize = 4096;

/// Fuzzes for so long. Whether no input failed; the first one that does ends it.
pub fn work(target: &'static Target, seed: u64, time: Duration, current: &Path) -> Result<bool, String> {
    let (current, corpus) = (current.to_owned(), corpus(target)?);
    in_thread(move || {
        guard::watch();
        let end = Instant::now() + time;
        let mut inputs = (target.seeds)();
        let (mut seen, mut ran, mut rng) = (HashSet::new(), 0, SmallRng::seed_from_u64(seed));
        for input in corpus {
            let Some(outcome) = guard::run(target, &input, &current) else { return false };
            ran += 1;
            seen.insert(outcome);
            inputs.push(input);
        }
        let seeds = inputs.len();
        assert!(seeds > 0, "{} has no inputs to start from", target.name);
        while Instant::now() < end {
            // What was kept is closer to what is still unknown.
            let kept = inputs.len() > seeds && rng.random();
            let pick = |rng: &mut SmallRng| inputs[if kept { seeds } else { 0 }..].choose(rng).map(Vec::as_slice);
            let (Some(data), Some(other)) = (pick(&mut rng), pick(&mut rng)) else { break };
            let input = mutated(target.shape, data, other, &mut rng);
            let Some(outcome) = guard::run(target, &input, &current) else { return false };
            ran += 1;
            if seen.insert(outcome) && inputs.len() - seeds < MOST_KEPT {
                inputs.push(input);
            }
        }
        println!("{}: {ran} inputs from {seeds} seeds, {} outcomes", target.name, seen.len());
        true
    })
}

/// Runs inputs again. Whether none failed.
pub fn replay(target: &'static Target, files: &[&str]) -> Result<bool, String> {
    let inputs = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let current = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    in_thread(move || {
        drop((target.seeds)());
        guard::watch();
        inputs.iter().all(|input| guard::run(target, input, current.path()).is_some())
    })
}

/// In a thread with the stack of any other: hosts load models on such.
fn in_thread(work: impl FnOnce() -> bool + Send + 'static) -> Result<bool, String> {
    std::thread::spawn(work).join().map_err(|_| "the driver itself panicked".to_owned())
}

/// The inputs of `corpus/TARGET/`: those that failed once, and pictures of many kinds.
pub fn corpus(target: &Target) -> Result<Vec<Vec<u8>>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    // Not every target has any.
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths.iter().map(read).collect()
}

fn read(path: &impl AsRef<Path>) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.as_ref().display()))
}
