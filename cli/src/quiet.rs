//! Mesa's driver looks for a Wayland display, and where a session has no runtime folder (containers, services)
//! libwayland prints an error about it that is none of ours, and none at all: nothing is shown on a display here.

/// Starts this program again with a runtime folder named, where there is none: only a new program can be given an
/// environment safely. Nothing exists at the place named, and nothing needs to.
#[cfg(target_os = "linux")]
pub fn restart() {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let mut arguments = env::args_os();
    if let (None, Ok(program), Some(name)) = (env::var_os("XDG_RUNTIME_DIR"), env::current_exe(), arguments.next()) {
        // Replaces this process, and returns only where that failed; then there is a line too many on stderr.
        let _ = Command::new(program).arg0(name).args(arguments).env("XDG_RUNTIME_DIR", "/nonexistent").exec();
    }
}

/// Only Linux has Wayland.
#[cfg(not(target_os = "linux"))]
pub fn restart() {}
