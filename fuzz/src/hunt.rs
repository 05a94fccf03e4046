//! The driver's own process: shares the time among the targets, keeps what fails, and goes on.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use foveate_fuzz::targets::Target;

use crate::process::{Failure, worker};
use crate::shrink;

/// The most different failures of one target that are reported.
const MOST_FAILURES: usize = 12;
/// Seconds after which another target has its turn.
const TURN: f64 = 60.0;

/// Fuzzes the targets for `time` in all. Whether nothing failed.
pub fn hunt(targets: &[&'static Target], seed: u64, time: Duration) -> std::io::Result<bool> {
    let folder = tempfile::tempdir()?;
    let share = time.as_secs_f64() / targets.len() as f64;
    let rounds = (share / TURN).ceil().max(1.0);
    let mut known: HashSet<(&str, String)> = HashSet::new();
    println!("fuzzing for {} s, --seed {seed}", time.as_secs());
    for round in 0..rounds as u64 {
        for target in targets {
            let (mut seed, end) = (seed + 1000 * round, Instant::now() + Duration::from_secs_f64(share / rounds));
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                let of_target = known.iter().filter(|(name, _)| *name == target.name).count();
                if of_target >= MOST_FAILURES {
                    break;
                }
                let Some(failure) = worker(target, seed, left, folder.path())? else { break };
                // From the same seed the same input would follow.
                seed += 1;
                if known.insert((target.name, failure.kind())) {
                    report(target, &failure, folder.path())?;
                }
            }
        }
    }
    for (name, kind) in &known {
        println!("{name}: {kind}");
    }
    Ok(known.is_empty())
}

fn report(target: &Target, failure: &Failure, folder: &Path) -> std::io::Result<()> {
    let small = shrink::shrink(target, failure, folder)?;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name);
    std::fs::create_dir_all(&kept)?;
    let path = kept.join(format!("{:08x}", crc32fast::hash(&small)));
    std::fs::write(&path, &small)?;
    println!("==== {} fails:\n{}", target.name, failure.said);
    println!("==== with {} bytes: cargo run -p foveate-fuzz -- run {} {}", small.len(), target.name, path.display());
    Ok(())
}
