//! What all outputs ask of a path, a file or a folder of maps alike.

use std::path::Path;

use foveate::Error;

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
        std::io::ErrorKind::NotFound => Error::file(folder.display().to_string(), "there is no such folder"),
        _ => Error::io(folder, error),
    }
}
