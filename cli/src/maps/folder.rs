//! The folder of `--maps`: like every output, checked before the work and complete or not there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use foveate::{Context, Error, Result};
use tempfile::TempDir;

use foveate_studio::paths::{failed_in, look, parent};

/// A place where a folder is, or can be made.
#[derive(Debug)]
pub struct Folder {
    /// As it was asked for.
    pub path: PathBuf,
    /// Where it really is.
    place: PathBuf,
}

/// A folder's complete files, gone if it is dropped.
#[derive(Debug)]
pub struct Staged {
    files: TempDir,
    names: BTreeSet<PathBuf>,
    place: PathBuf,
}

impl Folder {
    /// Checks that files can be made in the folder, or the folder itself.
    pub fn check(path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Err(Error::Usage("--maps: the name of the folder is empty".into()));
        }
        match look(path)? {
            Some(there) if !there.is_dir() => {
                return Err(Error::file(path.display().to_string(), "is there and is no folder"));
            }
            Some(_) if !takes_maps(path).map_err(|error| Error::io(path, error))? => {
                let reason = "holds other things and no maps; --maps takes a folder that is new, empty, or has maps";
                return Err(Error::file(path.display().to_string(), reason));
            }
            _ => {}
        }
        let folder = Self { path: path.into(), place: path.canonicalize().unwrap_or_else(|_| path.into()) };
        folder.stage().context(|| format!("checking the folder {}", path.display()))?;
        Ok(folder)
    }

    /// Whether a file at `place` would be one of the folder's own, or in the folder's way.
    pub fn claims(&self, place: &Path) -> bool {
        let name = place.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let holder = parent(place).canonicalize().unwrap_or_default();
        let of_picture = holder.file_name().and_then(OsStr::to_str).is_some_and(is_picture);
        let within = holder == self.place || (of_picture && parent(&holder) == self.place);
        place == self.place || (is_map(name) && within)
    }

    /// Room for files: in the folder where it is there, beside its place where it is not.
    pub fn stage(&self) -> Result<Staged> {
        let room = if self.place.is_dir() { &self.place } else { parent(&self.place) };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".foveate-");
        // It may become the folder itself, which is an ordinary one.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let files = builder.tempdir_in(room).map_err(|error| failed_in(room, error))?;
        Ok(Staged { files, names: BTreeSet::new(), place: self.place.clone() })
    }
}

impl Staged {
    /// Writes a file; its name may lead through a folder.
    pub fn write(&mut self, name: PathBuf, bytes: &[u8]) -> Result<()> {
        let file = self.files.path().join(&name);
        let write = || {
            fs::create_dir_all(parent(&file))?;
            let mut made = fs::File::create(&file)?;
            made.write_all(bytes)?;
            made.sync_all()
        };
        write().map_err(|error| Error::io(self.place.join(&name), error))?;
        self.names.insert(name);
        Ok(())
    }

    /// Moves the files into their place. Maps of another run, which would pass for this one's, leave it; other files
    /// stay.
    pub fn commit(self) -> Result<()> {
        let Self { files, names, place } = self;
        if !place.is_dir() {
            let made = files.keep();
            return fs::rename(&made, &place).map_err(|error| {
                let _ = fs::remove_dir_all(&made); // the error at hand is the one to report
                Error::io(&place, error)
            });
        }
        for name in &names {
            let target = place.join(name);
            let moved = fs::create_dir_all(parent(&target)).and_then(|()| fs::rename(files.path().join(name), &target));
            moved.map_err(|error| Error::io(&target, error))?;
        }
        remove_others(&place, Path::new(""), &names).map_err(|error| Error::io(&place, error))
    }
}

/// The folder of one picture's maps: none of one picture, `picture-1`, `picture-2`, … of several.
pub fn of_picture(index: usize, count: usize) -> PathBuf {
    match count {
        1 => PathBuf::new(),
        _ => PathBuf::from(format!("picture-{}", padded(index + 1, count + 1))),
    }
}

/// `step-07-layer-03`, of so many of either: as many digits as make the names sort.
pub fn of_layer([step, layer]: [usize; 2], [steps, layers]: [usize; 2]) -> String {
    format!("step-{}-layer-{}", padded(step, steps.max(11)), padded(layer, layers.max(11)))
}

/// A number below `end`, as wide as the largest of them.
fn padded(number: usize, end: usize) -> String {
    format!("{number:0width$}", width = end.saturating_sub(1).to_string().len())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a folder is one that [`of_picture`] names.
fn is_picture(name: &str) -> bool {
    name.strip_prefix("picture-").is_some_and(digits)
}

fn is_map(name: &str) -> bool {
    let layer = || {
        let (step, rest) = name.strip_prefix("step-")?.split_once("-layer-")?;
        let (layer, what) = rest.split_once('-')?;
        Some(digits(step) && digits(layer) && ["scores.png", "kept.png"].contains(&what))
    };
    ["sheet.png", "touched.png"].contains(&name) || layer() == Some(true)
}

/// Whether hundreds of files may be put into this folder without asking: it is empty, or was made for that.
fn takes_maps(folder: &Path) -> std::io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_map(&name) || (is_picture(&name) && entry.file_type()?.is_dir()) {
            return Ok(true);
        }
        empty &= name.starts_with('.'); // what desktops and version control leave everywhere
    }
    Ok(empty)
}

/// Removes maps that are not among `names` from `place/under`, and from the folders of pictures below.
fn remove_others(place: &Path, under: &Path, names: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(place.join(under))? {
        let entry = entry?;
        let (file, name) = (entry.file_type()?.is_file(), entry.file_name());
        let (path, name) = (under.join(&name), name.to_string_lossy().into_owned());
        if file && is_map(&name) && !names.contains(&path) {
            fs::remove_file(entry.path())?;
        } else if entry.file_type()?.is_dir() && under == Path::new("") && is_picture(&name) {
            remove_others(place, &path, names)?;
            // It stays where something else is in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::check(&home.path().join("maps")).unwrap();
        assert!(files(home.path()).is_empty());
        let mut staged = folder.stage().unwrap();
        staged.write("picture-1/sheet.png".into(), b"1").unwrap();
        assert!(!folder.place.exists());
        drop(staged);
        assert!(files(home.path()).is_empty());
        let mut staged = folder.stage().unwrap();
        staged.write("picture-1/sheet.png".into(), b"1").unwrap();
        staged.commit().unwrap();
        assert_eq!((files(home.path()), files(&folder.place)), (vec!["maps".to_owned()], vec!["picture-1".to_owned()]));
    }

    #[test]
    fn maps_of_another_run_make_way_and_other_files_stay() {
        let home = tempfile::tempdir().unwrap();
        for name in ["sheet.png", "step-19-layer-03-kept.png", "step-1-layer-x-kept.png", "notes.txt"] {
            fs::write(home.path().join(name), "old").unwrap();
        }
        for kept in ["picture-1", "picture-1-kept"] {
            fs::create_dir(home.path().join(kept)).unwrap();
            fs::write(home.path().join(kept).join("touched.png"), "old").unwrap();
        }
        let folder = Folder::check(home.path()).unwrap();
        let claimed = |name: &str| folder.claims(&folder.place.join(name));
        assert!(claimed("sheet.png") && claimed("picture-1/touched.png"));
        assert!(!claimed("notes.txt") && !claimed("picture-1-kept/touched.png"));
        let mut staged = folder.stage().unwrap();
        staged.write("sheet.png".into(), b"new").unwrap();
        assert_eq!(fs::read(home.path().join("sheet.png")).unwrap(), b"old");
        staged.commit().unwrap();
        assert_eq!(fs::read(home.path().join("sheet.png")).unwrap(), b"new");
        assert_eq!(files(home.path()), ["notes.txt", "picture-1-kept", "sheet.png", "step-1-layer-x-kept.png"]);
    }

    #[test]
    fn places_that_cannot_be_a_folder_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Folder::check(&file).unwrap_err().to_string().ends_with("is there and is no folder"));
        let error = Folder::check(&home.path().join("absent/maps")).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.ends_with("absent: there is no such folder"), "{cause}");
        assert!(Folder::check(Path::new("")).unwrap_err().is_usage());
        assert!(Folder::check(&home.path().join("a".repeat(1000))).is_err());

        // One that holds something else.
        let error = Folder::check(home.path()).unwrap_err().to_string();
        assert!(error.ends_with("a folder that is new, empty, or has maps"), "{error}");
        fs::write(home.path().join("touched.png"), "").unwrap();
        Folder::check(home.path()).unwrap();
        for (at, allowed) in [(".hidden", true), ("picture-1", true), ("notes", false)] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(at)).unwrap();
            assert_eq!(Folder::check(folder.path()).is_ok(), allowed, "{at}");
        }
    }

    #[test]
    fn names_sort() {
        assert_eq!(of_layer([7, 3], [20, 28]), "step-07-layer-03");
        assert_eq!(of_layer([7, 3], [1000, 101]), "step-007-layer-003");
        assert_eq!((of_picture(0, 1), of_picture(0, 9)), ("".into(), "picture-1".into()));
        assert_eq!((of_picture(0, 10), of_picture(9, 10)), ("picture-01".into(), "picture-10".into()));
    }
}
