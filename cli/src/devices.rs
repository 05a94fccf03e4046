//! `foveate devices`: the adapters of this machine. `foveate doctor`: all that a bug report needs to say about it.

use foveate::Result;
use foveate::low_level::gpu;
use foveate_studio::device::{self, Choice};
use foveate_studio::doctor::{Report, as_json, described};
use serde_json::json;

use super::args::Devices;
use super::report;

/// Lists them, the processor last. Where there is no GPU, it says what to install.
pub async fn run(options: &Devices) -> Result<()> {
    let mut adapters = gpu::adapters().await;
    let without = adapters.is_empty().then(|| format!("\n\nno GPU adapter was found: {}", gpu::INSTALL_HINT));
    adapters.push(device::processor(None)?.caps().clone());
    match options.json {
        true => report::say_json(&json!({ "adapters": adapters.iter().map(as_json).collect::<Vec<_>>() })),
        false => {
            let all = adapters.iter().map(described).collect::<Vec<_>>().join("\n\n");
            report::say(&(all + &without.unwrap_or_default()))
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
