//! The driver's commands.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foveate_fuzz::targets::{self, Target};

use crate::{hunt, worker};

const HELP: &str = "foveate-fuzz [--seconds N] [--seed N] [TARGET…]   fuzz all targets, or some, for N seconds in all
foveate-fuzz run TARGET FILE…                     run inputs again
foveate-fuzz seeds FOLDER                         write what inputs start from to FOLDER/TARGET/";

/// Whether nothing was found; or why the words make no sense.
pub fn run(words: &[String]) -> Result<bool, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words {
        ["run", name, ref files @ ..] if !files.is_empty() => worker::replay(target(name)?, files),
        // The driver's own processes.
        ["work", name, seed, seconds, current] => {
            let seconds: f64 = number(seconds)?;
            worker::work(target(name)?, number(seed)?, Duration::from_secs_f64(seconds), Path::new(current))
        }
        ["seeds", folder] => write_seeds(Path::new(folder)),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(true)
        }
        _ => fuzz(&words),
    }
}

fn fuzz(words: &[&str]) -> Result<bool, String> {
    let (mut seconds, mut seed, mut chosen) = (60.0, today(), Vec::new());
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} has no value"));
        match word {
            "--seconds" => seconds = number(value()?)?,
            "--seed" => seed = number(value()?)?,
            name => chosen.push(target(name)?),
        }
    }
    if chosen.is_empty() {
        chosen.extend(targets::ALL);
    }
    hunt::hunt(&chosen, seed, Duration::from_secs_f64(seconds)).map_err(|error| error.to_string())
}

fn target(name: &str) -> Result<&'static Target, String> {
    let known = || targets::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    targets::named(name).ok_or_else(|| format!("there is no target {name}: they are {}\n{HELP}", known()))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// The day, counted from 1970: each day's runs go other ways.
fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}

fn write_seeds(folder: &Path) -> Result<bool, String> {
    for target in targets::ALL {
        let folder = folder.join(target.name);
        let seeds = (target.seeds)().into_iter().chain(worker::corpus(target)?);
        let write = |(place, seed)| std::fs::write(folder.join(format!("{place:04}")), seed);
        std::fs::create_dir_all(&folder)
            .and_then(|()| seeds.enumerate().try_for_each(write))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(true)
}
