//! What all outputs ask of a path, a file or a folder of maps alike.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::Path;

use foveate::{Error, Result};

/// What lies at `path`; none where there is nothing. A name that nothing can have is an error.
pub fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// The folder of a file.
pub fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Why nothing could be made in `folder`.
pub fn failed_in(folder: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::file(folder.display().to_string(), "there is no such folder"),
        _ => Error::io(folder, error),
    }
}
