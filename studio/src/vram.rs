//! How much memory a GPU has of its own, by what its driver says: files of the kernel for AMD on Linux, `nvidia-smi` for
//! NVIDIA.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a driver may take to say it.
const MOST_WAITING: Duration = Duration::from_secs(3);

/// All the memory of the GPU at this address of the PCI bus, such as "0000:01:00.0".
pub(crate) fn vram(bus: &str) -> Option<u64> {
    amdgpu(Path::new("/sys"), bus).or_else(|| nvidia(Path::new("nvidia-smi"), bus, MOST_WAITING))
}

/// What amdgpu says: bytes, in a file of the device. `sys` is where the kernel shows its devices.
fn amdgpu(sys: &Path, bus: &str) -> Option<u64> {
    let text = std::fs::read_to_string(sys.join("bus/pci/devices").join(bus).join("mem_info_vram_total")).ok()?;
    text.trim().parse().ok().filter(|bytes| *bytes > 0)
}

/// What NVIDIA's own tool says, which comes with its driver: MiB. A GPU that has none of its own is "[N/A]".
fn nvidia(tool: &Path, bus: &str, most_waiting: Duration) -> Option<u64> {
    let mut command = Command::new(tool);
    command.args(["--query-gpu=memory.total", "--format=csv,noheader,nounits"]).arg(format!("--id={bus}"));
    // A window of its own would flash up.
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(&mut command, 0x0800_0000);
    let mut asked = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let start = Instant::now();
    while asked.try_wait().ok()?.is_none() {
        // A driver that hangs is not waited for.
        if start.elapsed() > most_waiting {
            let _ = asked.kill();
            let _ = asked.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = asked.wait_with_output().ok().filter(|said| said.status.success())?;
    let mib: u64 = std::str::from_utf8(&said.stdout).ok()?.trim().parse().ok()?;
    mib.checked_mul(1 << 20).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUS: &str = "0000:03:00.0";

    /// A line as sysfs has it (Documentation/gpu/amdgpu/driver-misc.rst of Linux: "the total amount of VRAM in bytes").
    #[test]
    fn amdgpus_file_is_read() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(amdgpu(sys.path(), BUS), None);
        let device = sys.path().join("bus/pci/devices").join(BUS);
        std::fs::create_dir_all(&device).unwrap();
        assert_eq!(amdgpu(sys.path(), BUS), None, "another driver's device");
        for (text, bytes) in [("17163091968\n", Some(17_163_091_968)), ("0\n", None), ("", None), ("16 GiB\n", None)] {
            std::fs::write(device.join("mem_info_vram_total"), text).unwrap();
            assert_eq!(amdgpu(sys.path(), BUS), bytes, "{text:?}");
        }
        assert_eq!(amdgpu(sys.path(), "0000:04:00.0"), None);
    }

    /// A script in the place of NVIDIA's tool, which says this and ends so.
    #[cfg(unix)]
    fn tool(folder: &tempfile::TempDir, script: &str) -> std::path::PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("nvidia-smi");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[cfg(unix)]
    #[test]
    fn nvidias_tool_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let asked = format!(
            "[ \"$*\" = \"--query-gpu=memory.total --format=csv,noheader,nounits --id={BUS}\" ] || exit 2\necho 24564"
        );
        for (script, bytes) in [
            (asked.as_str(), Some(24_564 << 20)),
            ("echo '[N/A]'", None),
            ("echo 'No devices were found'; exit 6", None),
            ("echo 24564; exit 1", None),
            ("printf '24564\\n24564\\n'", None),
            ("echo 99999999999999999999", None),
        ] {
            let tool = tool(&folder, script);
            assert_eq!(nvidia(&tool, BUS, Duration::from_secs(60)), bytes, "{script}");
        }
        assert_eq!(nvidia(&folder.path().join("absent"), BUS, MOST_WAITING), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_driver_that_hangs_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let tool = tool(&folder, "exec sleep 60");
        let start = Instant::now();
        assert_eq!(nvidia(&tool, BUS, Duration::from_millis(50)), None);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
