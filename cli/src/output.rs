//! Everything that one `generate` writes, checked before the work.

use std::path::{Path, PathBuf};

use foveate::{Error, Result};
use foveate_studio::output::{Output, Tried};

use super::args::Generate;
use super::maps;

/// Everything that one `generate` writes.
#[derive(Debug)]
pub struct Outputs {
    /// One per picture.
    pub pictures: Vec<Output>,
    /// `--save-tensors`.
    pub tensors: Option<Output>,
    /// `--profile`.
    pub profile: Option<Output>,
    /// `--maps`.
    pub maps: Option<maps::Folder>,
}

impl Outputs {
    /// Checks every place; `count` pictures are wanted.
    pub fn check(options: &Generate, count: usize) -> Result<Self> {
        let picture = &options.output;
        if picture.extension().is_some_and(|e| !e.eq_ignore_ascii_case("png")) {
            return Err(Error::Usage(format!("pictures are PNG files, so {} should end in .png", picture.display())));
        }
        let mut tried = Tried::default();
        let mut check = |path: &Path| Output::check_among(path, &mut tried);
        let outputs = Self {
            pictures: (0..count).map(|i| check(&numbered(picture, i, count))).collect::<Result<_>>()?,
            tensors: options.save_tensors.as_deref().map(&mut check).transpose()?,
            profile: options.profile.as_deref().map(&mut check).transpose()?,
            maps: options.maps.as_deref().map(maps::Folder::check).transpose()?,
        };
        let claimed = |output: &&Output| outputs.maps.as_ref().is_some_and(|maps| maps.claims(&output.place));
        if let Some(output) = outputs.all().find(claimed) {
            return Err(Error::Usage(format!("two outputs go to {}: --maps writes there too", output.path.display())));
        }
        let mut places: Vec<_> = outputs.all().map(|output| &output.place).collect();
        places.sort();
        match places.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::Usage(format!("two outputs go to {}", pair[0].display()))),
            None => Ok(outputs),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Output> {
        self.pictures.iter().chain(&self.tensors).chain(&self.profile)
    }
}

/// `OUT.png` of one picture; `OUT-1.png`, `OUT-2.png`, … of several.
fn numbered(path: &Path, index: usize, count: usize) -> PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{}{extension}", index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_are_numbered() {
        let names = |path: &str, count| (0..count).map(|i| numbered(Path::new(path), i, count)).collect::<Vec<_>>();
        assert_eq!(names("d/a.png", 1), [Path::new("d/a.png")]);
        assert_eq!(names("d/a.png", 2), [Path::new("d/a-1.png"), Path::new("d/a-2.png")]);
        assert_eq!(names("a", 2), [Path::new("a-1"), Path::new("a-2")]);
    }
}
