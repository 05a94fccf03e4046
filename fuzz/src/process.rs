//! A target in a process of its own: on inputs that it makes itself, or on one. An abort ends that process alone.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use foveate_fuzz::targets::Target;

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
pub fn worker(target: &Target, seed: u64, time: Duration, folder: &Path) -> std::io::Result<Option<Failure>> {
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
