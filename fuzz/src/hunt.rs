//! The driver's own process: shares the time among the targets, keeps what fails, and goes on.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use foveate_fuzz::targets::Target;

use crate::guard::SLOW;
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
                // On a busy machine an input is slow by no fault of its own.
                if failure.said.contains(SLOW) && fails(target, &failure.input, folder.path())?.is_none() {
                    println!(
                        "{}: {} once, and not again: {}",
                        target.name,
                        SLOW,
                        keep(target, &failure.input)?.display()
                    );
                } else if known.insert((target.name, failure.kind())) {
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

/// An input that failed, and what the process said last.
pub struct Failure {
    pub input: Vec<u8>,
    pub said: String,
}

impl Failure {
    /// What was said without numbers: failures alike in it are taken for one.
    pub fn kind(&self) -> String {
        self.said.chars().filter(|c| !c.is_ascii_digit()).take(400).collect()
    }
}

/// One process of a target. Nothing, where its time is over and nothing failed.
fn worker(target: &Target, seed: u64, time: Duration, folder: &Path) -> std::io::Result<Option<Failure>> {
    let current = folder.join("current");
    let words = ["work", target.name, &seed.to_string(), &time.as_secs_f64().to_string()];
    let said = folder.join("said");
    let status = Command::new(std::env::current_exe()?)
        .args(words)
        .arg(&current)
        .env("RUST_BACKTRACE", "0")
        .stderr(File::create(&said)?)
        .status()?;
    let said = last_lines(&std::fs::read(&said)?, &status.to_string());
    match status.code() {
        Some(0) => return Ok(None),
        // The driver's fault, or its caller's.
        Some(2) => return Err(std::io::Error::other(said)),
        _ => {}
    }
    Ok(Some(Failure { input: std::fs::read(&current)?, said }))
}

/// Whether the input fails, and how.
pub fn fails(target: &Target, input: &[u8], folder: &Path) -> std::io::Result<Option<Failure>> {
    let (path, said) = (folder.join("tried"), folder.join("tried.said"));
    std::fs::write(&path, input)?;
    let status = Command::new(std::env::current_exe()?)
        .args(["run", target.name])
        .arg(&path)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .status()?;
    let said = last_lines(&std::fs::read(&said)?, &status.to_string());
    Ok((!status.success()).then(|| Failure { input: input.to_vec(), said }))
}

fn last_lines(said: &[u8], status: &str) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with("note: ")).collect();
    let last = lines[lines.len().saturating_sub(4)..].join("\n");
    if last.is_empty() { status.to_owned() } else { last }
}

/// Writes an input to where failing ones are kept.
fn keep(target: &Target, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{:08x}", crc32fast::hash(input)));
    std::fs::write(&path, input)?;
    Ok(path)
}

fn report(target: &Target, failure: &Failure, folder: &Path) -> std::io::Result<()> {
    let small = shrink::shrink(target, failure, folder)?;
    let path = keep(target, &small)?;
    println!("==== {} fails:\n{}", target.name, failure.said);
    println!("==== with {} bytes: foveate-fuzz run {} {}", small.len(), target.name, path.display());
    Ok(())
}
