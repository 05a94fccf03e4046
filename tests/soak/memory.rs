//! How much memory the process has, and whether that grows.

/// What the level may rise by after the first third of the pictures, in MiB: an allocator rounds, and drivers keep what
/// they compiled.
const SLACK: u64 = 48;

/// MiB of this process that lie in memory; none where the system does not say.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

/// The highest level of each third; what is wrong where the last is above the first by more than the slack, and by more
/// than a fifth.
pub fn check(levels: &[u64]) -> Result<String, String> {
    if levels.is_empty() {
        return Ok("memory is not measured on this system".into());
    }
    let highest = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    let [first, second, last] =
        [0, 1, 2].map(|third| highest(&levels[third * levels.len() / 3..(third + 1) * levels.len() / 3]));
    let told = format!("at most {first}, {second} and {last} MiB in the thirds of it");
    match last <= first.max(1) * 6 / 5 + SLACK {
        true => Ok(told),
        false => Err(format!("memory grows: {told}")),
    }
}

/// A megabyte lost with each of a thousand pictures is found, and a level with noise on it is none.
pub fn the_check_can_fail() {
    let leaking: Vec<u64> = (0..1000).map(|picture| 150 + picture).collect();
    assert!(check(&leaking).is_err());
    let level: Vec<u64> = (0..1000).map(|picture| 150 + picture % 37).collect();
    assert!(check(&level).is_ok());
}
