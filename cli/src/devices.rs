//! `foveate devices`: the adapters of this machine.

use foveate::Result;
use foveate::low_level::gpu;
use foveate::low_level::graph::Caps;
use serde_json::{Value, json};

use super::adapter;
use super::args::Devices;
use super::report;

/// Lists them, the processor last. Where there is no GPU, it says what to install.
pub async fn run(options: &Devices) -> Result<()> {
    let mut adapters = gpu::adapters().await;
    let without = adapters.is_empty().then(|| format!("\n\nno GPU adapter was found: {}", gpu::INSTALL_HINT));
    adapters.push(adapter::processor(None)?.caps().clone());
    match options.json {
        true => report::say_json(&json!({ "adapters": adapters.iter().map(as_json).collect::<Vec<_>>() })),
        false => {
            let all = adapters.iter().map(as_text).collect::<Vec<_>>().join("\n\n");
            report::say(&(all + &without.unwrap_or_default()))
        }
    }
}

fn as_text(caps: &Caps) -> String {
    if caps.backend == "CPU" {
        return format!("{} (--adapter {})\n  {:16} {}", caps.name, adapter::CPU, "threads", caps.driver);
    }
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
