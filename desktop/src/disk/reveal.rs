//! Shows a file in the system's file manager.

use std::path::Path;
use std::process::{Command, Stdio};

use foveate::{Error, Result};

/// Opens the file manager at `file`. On Linux it opens the folder: there is no one way to mark a file in it.
pub fn reveal(file: &Path) -> Result<()> {
    let mut command = if cfg!(target_os = "macos") {
        let mut command = Command::new("open");
        command.arg("-R").arg(file);
        command
    } else if cfg!(windows) {
        let mut command = Command::new("explorer");
        command.arg(format!("/select,{}", file.display()));
        command
    } else {
        let mut command = Command::new("xdg-open");
        command.arg(file.parent().unwrap_or(file));
        command
    };
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let program = command.get_program().to_owned();
    let mut child = started.map_err(|error| Error::io(program, error))?;
    // Waited for elsewhere, so that it leaves no zombie.
    let wait = move || drop(child.wait());
    std::thread::Builder::new().spawn(wait).map(drop).map_err(|error| Error::io(file, error))
}
