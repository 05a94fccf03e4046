//! Files that appear whole or not at all: checked before the work, written beside their place, then moved into it.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foveate::{Context, Error, Result};
use tempfile::NamedTempFile;

use crate::paths::{failed_in, look, parent};

/// Has a file that would grow beyond what this process may write (`ulimit -f`) be an error, as on a full disk. Otherwise
/// a signal ends the program there and then, and what it was writing stays behind.
#[cfg(unix)]
pub fn limits_are_errors() -> Result<()> {
    let heard = std::sync::Arc::default();
    let registered = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, heard);
    registered.map(drop).map_err(|error| Error::io("the handler of SIGXFSZ", error))
}

/// Windows has no such limit.
#[cfg(not(unix))]
pub fn limits_are_errors() -> Result<()> {
    Ok(())
}

/// A place known to be writable.
#[derive(Debug)]
pub struct Output {
    /// As it was asked for.
    pub path: PathBuf,
    /// Where it really is: a link's target is replaced, not the link.
    pub place: PathBuf,
}

/// The folders in which files can be made.
#[derive(Debug, Default)]
pub struct Tried(HashSet<PathBuf>);

/// A complete file beside its place, gone if it is dropped.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    place: PathBuf,
}

impl Output {
    /// Checks that a file can be made in the folder, and that what lies at `path` is one that may be replaced.
    pub fn check(path: &Path) -> Result<Self> {
        Self::check_among(path, &mut Tried::default())
    }

    /// The same of several files: each folder is tried once.
    pub fn check_among(path: &Path, tried: &mut Tried) -> Result<Self> {
        let doing = || format!("checking the output {}", path.display());
        if path.file_name().is_none() || path.as_os_str().to_string_lossy().ends_with(std::path::is_separator) {
            return Err(Error::Usage(format!("{} is no name of a file", path.display())));
        }
        if look(path).context(doing)?.is_some_and(|there| !there.is_file()) {
            return Err(Error::file(path.display().to_string(), "is there and is no regular file"));
        }
        // A path that does not exist yet is its own place.
        let output = Self { path: path.into(), place: path.canonicalize().unwrap_or_else(|_| path.into()) };
        tried.check(parent(&output.place)).context(doing)?;
        Ok(output)
    }

    /// Writes `bytes` beside the place.
    pub fn stage(&self, bytes: &[u8]) -> Result<Staged> {
        let mut file = temporary(parent(&self.place))?;
        // Through the file itself, whose errors do not name the file that nobody has heard of.
        let written = file.as_file_mut().write_all(bytes).and_then(|()| file.as_file().sync_all());
        written.and_then(|()| self.keep_mode(&file)).map_err(|error| Error::io(&self.path, error))?;
        Ok(Staged { file, place: self.place.clone() })
    }

    /// A file that is replaced is open to the same people afterwards.
    #[cfg(unix)]
    fn keep_mode(&self, file: &NamedTempFile) -> std::io::Result<()> {
        match std::fs::metadata(&self.place) {
            Ok(old) => file.as_file().set_permissions(old.permissions()),
            Err(_) => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn keep_mode(&self, _: &NamedTempFile) -> std::io::Result<()> {
        Ok(())
    }
}

impl Tried {
    /// Checks that a file can be made in `folder`, once for all the files that are to lie there.
    fn check(&mut self, folder: &Path) -> Result<()> {
        if !self.0.contains(folder) {
            temporary(folder)?;
            self.0.insert(folder.into());
        }
        Ok(())
    }
}

/// How the name of a file begins that is not whole yet.
const UNFINISHED: &str = ".foveate-";

/// Removes what programs left in `folder` that were killed while they wrote. What is younger than `age` may be being
/// written.
pub fn sweep(folder: &Path, age: Duration) -> Result<()> {
    let failed = |error| Error::io(folder, error);
    for entry in std::fs::read_dir(folder).map_err(failed)?.filter_map(std::result::Result::ok) {
        let modified = || entry.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok();
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) && modified().is_some_and(|old| old >= age) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// A file in `folder` that is gone if it is dropped.
fn temporary(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // Made for this user alone by default; a picture is an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(|error| failed_in(folder, error))
}

impl Staged {
    /// Moves the file into its place.
    pub fn commit(self) -> Result<()> {
        self.file.persist(&self.place).map_err(|error| Error::io(&self.place, error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder is tried once for all pictures: a file for each of a thousand would take a while.
    #[test]
    fn a_folder_is_tried_once() {
        let (folder, mut tried) = (tempfile::tempdir().unwrap(), Tried::default());
        let made = || std::fs::metadata(folder.path()).unwrap().modified().unwrap();
        Output::check_among(&folder.path().join("a-1.png"), &mut tried).unwrap();
        let before = made();
        std::thread::sleep(Duration::from_millis(20));
        for index in 2..1000 {
            Output::check_among(&folder.path().join(format!("a-{index}.png")), &mut tried).unwrap();
        }
        assert_eq!(made(), before, "something was made in it");
        assert!(Output::check_among(&folder.path().join("absent/a.png"), &mut tried).is_err());
    }

    #[test]
    fn an_existing_file_is_replaced_only_by_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "old").unwrap();
        let output = Output::check(&path).unwrap();
        let staged = output.stage(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(staged);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.stage(b"new").unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_program_left_is_swept_away() {
        let (folder, hour) = (tempfile::tempdir().unwrap(), Duration::from_secs(3600));
        let output = Output::check(&folder.path().join("a.png")).unwrap();
        let left = || output.stage(b"half").unwrap().file.keep().unwrap();
        let ((old, path), (_, young)) = (left(), left());
        old.set_modified(std::time::SystemTime::now() - 2 * hour).unwrap();
        let other = folder.path().join(".hidden");
        std::fs::File::create(&other).unwrap().set_modified(std::time::SystemTime::now() - 2 * hour).unwrap();
        sweep(folder.path(), hour).unwrap();
        assert!(!path.exists() && young.exists() && other.exists());
        assert!(sweep(&folder.path().join("absent"), hour).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        for mode in [0o600, 0o664] {
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Output::check(&path).unwrap().stage(b"new").unwrap().commit().unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn places_that_cannot_be_written_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Output::check(path).unwrap_err();
        assert!(refused(folder.path()).to_string().contains("no regular file"));
        let error = refused(&folder.path().join("absent/a.png"));
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.ends_with("absent: there is no such folder"), "{cause}");
        assert!(refused(&folder.path().join("a/")).to_string().ends_with("is no name of a file"));
        let long = refused(&folder.path().join("a".repeat(1000) + ".png"));
        assert!(!long.is_usage() && long.chain()[0].starts_with("checking the output "), "{long}");
    }
}
