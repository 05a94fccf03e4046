//! Where the app keeps what it keeps.

use std::fs;
use std::path::{Path, PathBuf};

use foveate::{Error, Result};
use serde::de::DeserializeOwned;

use crate::engine::Folders;

/// The most bytes of a file that was kept.
const MOST_BYTES: u64 = 64 << 20;

/// Files and folders below one folder.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// Everything below `root`, which is made where it is not there.
    pub fn below(root: PathBuf) -> Result<Self> {
        let places = Self { root };
        match fs::remove_dir_all(places.removed()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => log::warn!("{error}"),
            _ => {}
        }
        for folder in places.all() {
            fs::create_dir_all(&folder).map_err(|error| Error::io(folder, error))?;
        }
        Ok(places)
    }

    /// Every folder.
    pub fn all(&self) -> [PathBuf; 5] {
        [self.root.clone(), self.pictures(), self.inputs(), self.projections(), self.removed()]
    }

    /// Finished pictures.
    pub fn pictures(&self) -> PathBuf {
        self.root.join("pictures")
    }

    /// Pictures that were deleted, until the next start.
    pub fn removed(&self) -> PathBuf {
        self.root.join("removed")
    }

    /// Pictures that drawings begin with, and their masks.
    pub fn inputs(&self) -> PathBuf {
        self.root.join("inputs")
    }

    fn projections(&self) -> PathBuf {
        self.root.join("previews")
    }

    /// What waits to be drawn.
    pub fn queue(&self) -> PathBuf {
        self.root.join("queue.json")
    }

    /// What is remembered of the last time.
    pub fn settings(&self) -> PathBuf {
        self.root.join("settings.json")
    }

    /// Whether one of the two could not be read and was put aside, now or at an earlier start.
    pub fn has_put_aside(&self) -> bool {
        [self.queue(), self.settings()].iter().any(|path| aside(path).exists())
    }

    /// The window's place and size.
    pub fn window(&self) -> PathBuf {
        self.root.join("window.ron")
    }

    /// Where the engine writes.
    pub fn folders(&self) -> Folders {
        Folders { pictures: self.pictures(), inputs: self.inputs(), projections: self.projections() }
    }
}

/// What was kept in a file. None where nothing was; a file that cannot be read is put aside, not lost.
pub fn kept<T: DeserializeOwned>(path: &PathBuf) -> Result<Option<T>> {
    let size = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|error| Error::io(path, error))?.len(),
    };
    let read = || -> Result<T> {
        if size > MOST_BYTES {
            return Err(Error::file(path.display().to_string(), format!("has more than {MOST_BYTES} bytes")));
        }
        let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::file(path.display().to_string(), error.to_string()))
    };
    read().map(Some).inspect_err(|_| {
        if let Err(error) = fs::rename(path, aside(path)) {
            log::warn!("{}: {error}", path.display());
        }
    })
}

/// Where a file goes that cannot be read.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("unreadable.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::below(folder.path().into()).unwrap();
        let path = places.queue();
        assert_eq!(kept::<Vec<u8>>(&path).unwrap(), None);
        fs::write(&path, "[1, 2]").unwrap();
        assert_eq!(kept::<Vec<u8>>(&path).unwrap(), Some(vec![1, 2]));
        assert!(!places.has_put_aside());
        fs::write(&path, "[1, ").unwrap();
        assert!(kept::<Vec<u8>>(&path).unwrap_err().to_string().contains("queue.json: EOF"));
        assert_eq!(kept::<Vec<u8>>(&path).unwrap(), None);
        assert_eq!(fs::read(folder.path().join("queue.unreadable.json")).unwrap(), b"[1, ");
        assert!(places.has_put_aside());
    }
}
