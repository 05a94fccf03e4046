//! What a bug report needs to say about a machine: the program, the system, and every device with what it can do.

use std::fmt::Write;

use foveate::Result;
use foveate::low_level::gpu;
use foveate::low_level::graph::Caps;
use serde_json::{Value, json};

use crate::{device, memory};

/// What is said where a driver without a GPU is all there is.
const SOFTWARE_ONLY: &str = "the adapter below is a program; a GPU shows once its vendor's driver is installed";

/// A machine as Foveate finds it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every adapter, then the processor.
    pub devices: Vec<Caps>,
    /// The one that draws, where that is known.
    pub chosen: Option<String>,
}

impl Report {
    /// Looks at this machine, on which `chosen` draws.
    pub async fn gather(chosen: Option<String>) -> Result<Self> {
        let mut devices = gpu::adapters().await;
        devices.push(device::processor(None)?.caps().clone());
        Ok(Self { devices, chosen })
    }

    /// Whether there is a GPU: without one the processor computes.
    pub fn has_gpu(&self) -> bool {
        self.devices.iter().any(device::is_gpu)
    }

    /// The text to put into a bug report.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "foveate {} on {} {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH
        );
        if let Some(chosen) = &self.chosen {
            let _ = writeln!(text, "draws on {chosen}");
        }
        if !self.has_gpu() {
            let in_software = self.devices.iter().any(|caps| caps.backend != "CPU");
            let what = if in_software { SOFTWARE_ONLY } else { gpu::INSTALL_HINT };
            let _ = writeln!(text, "no GPU was found: {what}");
        }
        for caps in &self.devices {
            let _ = write!(text, "\n{}\n", described(caps));
        }
        text.trim_end().to_owned()
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": std::env::consts::OS,
            "machine": std::env::consts::ARCH,
            "chosen": self.chosen,
            "adapters": self.devices.iter().map(as_json).collect::<Vec<_>>(),
        })
    }
}

/// A device and what decides how kernels run on it, in lines.
pub fn described(caps: &Caps) -> String {
    if caps.backend == "CPU" {
        let (threads, memory) = (&caps.driver, memory::described(caps));
        return format!(
            "{} (--adapter {})\n  {:16} {threads}\n  {:16} {memory}",
            caps.name,
            device::CPU,
            "threads",
            "memory"
        );
    }
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let yes = |has: bool| if has { "yes" } else { "no" };
    let rows = [
        ("backend", format!("{} ({:?}), {}", caps.backend, caps.class, caps.driver)),
        ("memory", memory::described(caps)),
        ("largest binding", format!("{}, largest buffer {}", mib(caps.max_binding), mib(caps.max_buffer))),
        ("storage buffers", format!("{} a kernel", caps.max_storage_buffers)),
        ("workgroups", format!("{} threads, {} KiB shared", caps.workgroup_threads, caps.workgroup_memory >> 10)),
        ("f16", yes(caps.f16).into()),
        ("subgroups", yes(caps.subgroups).into()),
        ("matrix units", caps.matrix_units.map_or("no".into(), |units| format!("{0}×{0}", units.side()))),
        ("timestamps", yes(caps.timestamps).into()),
    ];
    let rows = rows.map(|(name, value)| format!("  {name:16} {value}"));
    format!("{}\n{}", caps.name, rows.join("\n"))
}

/// A device for programs.
pub fn as_json(caps: &Caps) -> Value {
    json!({
        "name": caps.name,
        "backend": caps.backend,
        "driver": caps.driver,
        "class": format!("{:?}", caps.class).to_lowercase(),
        "memory": memory::found(caps).map(|found| found.bytes),
        "max_binding": caps.max_binding,
        "max_buffer": caps.max_buffer,
        "max_storage_buffers": caps.max_storage_buffers,
        "workgroup_memory": caps.workgroup_memory,
        "workgroup_threads": caps.workgroup_threads,
        "max_workgroups": caps.max_workgroups,
        "f16": caps.f16,
        "subgroups": caps.subgroups,
        "matrix_units": caps.matrix_units.map(foveate::low_level::graph::MatrixUnits::side),
        "timestamps": caps.timestamps,
    })
}

#[cfg(test)]
mod tests {
    use foveate::low_level::graph::AdapterClass;

    use super::*;

    #[test]
    fn a_machine_without_a_gpu_is_told_what_to_install() {
        let cpu = Caps { backend: "CPU".into(), class: AdapterClass::Software, driver: "2".into(), ..Caps::minimum() };
        let without = Report { devices: vec![cpu.clone()], chosen: None };
        assert!(without.text().contains("no GPU was found: install a Vulkan driver"), "{}", without.text());
        let program = Caps { backend: "Vulkan".into(), ..cpu.clone() };
        let in_software = Report { devices: vec![program, cpu.clone()], chosen: None }.text();
        assert!(in_software.contains("a GPU shows once") && !in_software.contains("install a Vulkan"), "{in_software}");
        let gpu = Caps { name: "Some GPU".into(), ..Caps::minimum() };
        let with = Report { chosen: Some(gpu.to_string()), devices: vec![gpu, cpu] };
        assert!(!with.text().contains("no GPU") && with.text().contains("\nSome GPU\n  backend"), "{}", with.text());
        assert_eq!(with.json()["adapters"].as_array().map(Vec::len), Some(2));
    }
}
