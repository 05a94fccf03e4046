//! `foveate devices`: the adapters of this machine. `foveate doctor`: all that a bug report needs to say about it.

use foveate::Result;
use foveate::low_level::gpu;
use foveate_studio::device::Choice;
use foveate_studio::doctor::{Report, as_json, described};
use serde_json::json;

use super::args::Devices;
use super::report;

/// Lists them, the processor last. Where there is no GPU, it says what to install.
pub async fn run(options: &Devices) -> Result<()> {
    let found = Report::gather(None).await?;
    match options.json {
        true => report::say_json(&json!({ "adapters": found.devices.iter().map(as_json).collect::<Vec<_>>() })),
        false => {
            let without = format!("\n\nno GPU was found: {}", gpu::INSTALL_HINT);
            let hint = if found.has_gpu() { String::new() } else { without };
            report::say(&(found.devices.iter().map(described).collect::<Vec<_>>().join("\n\n") + &hint))
        }
    }
}

/// The text for a bug report.
pub async fn doctor(options: &Devices) -> Result<()> {
    let found = Report::gather(Some(Choice::default().open(false).await?.caps().to_string())).await?;
    match options.json {
        true => report::say_json(&found.json()),
        false => report::say(&found.text()),
    }
}
