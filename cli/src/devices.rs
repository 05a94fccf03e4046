//! `foveate devices`: the adapters of this machine.

use foveate::low_level::gpu;
use foveate::low_level::graph::Caps;
use foveate::{Error, Result};
use serde_json::{Value, json};

use super::args::Devices;
use super::report;

/// Lists them; none is a failure that says what to install.
pub async fn run(options: &Devices) -> Result<()> {
    let adapters = gpu::adapters().await;
    if adapters.is_empty() {
        return Err(Error::NoAdapter(gpu::INSTALL_HINT.into()));
    }
    match options.json {
        true => report::say_json(&json!({ "adapters": adapters.iter().map(as_json).collect::<Vec<_>>() })),
        false => report::say(&adapters.iter().map(as_text).collect::<Vec<_>>().join("\n\n")),
    }
}

fn as_text(caps: &Caps) -> String {
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let yes = |has: bool| if has { "yes" } else { "no" };
    let rows = [
        ("backend", format!("{} ({:?}), {}", caps.backend, caps.class, caps.driver)),
        ("largest binding", format!("{}, largest buffer {}", mib(caps.max_binding), mib(caps.max_buffer))),
        ("storage buffers", format!("{} a kernel", caps.max_storage_buffers)),
        ("workgroups", format!("{} threads, {} KiB shared", caps.workgroup_threads, caps.workgroup_memory >> 10)),
        ("f16", yes(caps.f16).into()),
        ("subgroups", yes(caps.subgroups).into()),
        ("timestamps", yes(caps.timestamps).into()),
    ];
    let rows = rows.map(|(name, value)| format!("  {name:16} {value}"));
    format!("{}\n{}", caps.name, rows.join("\n"))
}

fn as_json(caps: &Caps) -> Value {
    json!({
        "name": caps.name,
        "backend": caps.backend,
        "driver": caps.driver,
        "class": format!("{:?}", caps.class).to_lowercase(),
        "max_binding": caps.max_binding,
        "max_buffer": caps.max_buffer,
        "max_storage_buffers": caps.max_storage_buffers,
        "workgroup_memory": caps.workgroup_memory,
        "workgroup_threads": caps.workgroup_threads,
        "max_workgroups": caps.max_workgroups,
        "f16": caps.f16,
        "subgroups": caps.subgroups,
        "timestamps": caps.timestamps,
    })
}
