//! The folder of inputs: pictures that drawings begin with and masks, each named by its content, so that jobs can refer
//! to them and an app that was killed comes back with them.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use foveate::photo::{Border, Original, PhotoMask};
use foveate::{Context, Error, Request, Result};
use foveate_studio::output::Output;
use foveate_studio::photo;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use crate::engine::Choice;
use crate::input::{Beginning, Input, Marks, Painting};
use crate::picture::{SHOWN, shrunk};

/// Jobs that begin with a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    /// What they are drawn with.
    pub choice: Choice,
    /// What is drawn.
    pub requests: Vec<Request>,
    /// What they begin with. The name of the mask is known once it is kept.
    pub beginning: Beginning,
}

/// Keeps the picture of a file in `folder`.
pub(super) fn take(path: &Path, folder: &Path) -> Result<Input> {
    input(folder, photo::photo(path)?.0, None)
}

/// Keeps a picture and what is painted on it.
fn input(folder: &Path, picture: RgbImage, mask: Option<GrayImage>) -> Result<Input> {
    let picture = DynamicImage::from(picture);
    let name = put(folder, &picture).context(|| "keeping the picture to begin with")?;
    let painting = mask.as_ref().map(Painting::of);
    let marked = mask.map(|mask| put(folder, &mask.into())).transpose().context(|| "keeping the mask")?;
    Ok(named((name, marked), picture.into_rgb8(), painting))
}

/// Keeps a picture of the folder within a border, which is drawn as well as what is marked.
pub(super) fn bordered(folder: &Path, name: &str, marks: &Marks, border: Border) -> Result<Input> {
    let inner = photo::photo(&folder.join(name)).context(|| "reading the picture to begin with")?;
    let larger = Original::outpainted(&inner, Some(PhotoMask(marks.picture())), border)?;
    input(folder, larger.photo().0.clone(), larger.mask().map(|mask| mask.0.clone()))
}

/// What was kept before.
pub(super) fn open(folder: &Path, beginning: &Beginning) -> Result<Input> {
    let open = || {
        let picture = photo::photo(&folder.join(&beginning.picture))?;
        let mask = beginning.mask.as_deref().map(|name| photo::mask(&folder.join(name))?.of(&picture)).transpose()?;
        let names = (beginning.picture.clone(), beginning.mask.clone());
        Ok(named(names, picture.0, mask.map(|mask| Painting::of(&mask.0))))
    };
    open().context(|| "reading the picture to begin with")
}

/// Keeps what is marked. Returns its name.
pub(super) fn keep(folder: &Path, marks: &Marks) -> Result<String> {
    put(folder, &marks.picture().into()).context(|| "keeping the mask")
}

/// Puts a picture or a mask into `folder`, unless it lies there. Returns its name.
fn put(folder: &Path, picture: &DynamicImage) -> Result<String> {
    let name = format!("{:016x}.png", hash(picture));
    let path = folder.join(&name);
    if !path.is_file() {
        let output = Output::check(&path)?;
        let mut bytes = Cursor::new(Vec::new());
        let encoded = picture.write_to(&mut bytes, ImageFormat::Png);
        encoded.map_err(|error| Error::file(path.display().to_string(), error.to_string()))?;
        output.stage(&bytes.into_inner())?.commit()?;
    }
    Ok(name)
}

/// Removes what nobody refers to any more.
pub(super) fn tidy(folder: &Path, used: &[String]) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "png")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !used.iter().any(|used| *used == name) {
            fs::remove_file(path).map_err(|error| Error::io(path, error))?;
        }
    }
    Ok(())
}

fn named((name, mask): (String, Option<String>), picture: RgbImage, painting: Option<Painting>) -> Input {
    let size = picture.dimensions();
    let painting = painting.unwrap_or_else(|| Painting::new(size.0, size.1));
    Input { name, size, shown: shrunk(SHOWN, picture), painting, mask }
}

/// FNV-1a of size, kind and pixels: the same in every version of this program.
fn hash(picture: &DynamicImage) -> u64 {
    let header = [picture.width(), picture.height(), u32::from(picture.color().channel_count())];
    let header = header.iter().flat_map(|number| number.to_le_bytes());
    let bytes = header.chain(picture.as_bytes().iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn inputs_are_kept_once_and_removed_when_nobody_needs_them() {
        let (outside, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = outside.path().join("mine.jpg");
        RgbImage::from_pixel(40, 20, Rgb([200, 10, 10])).save_with_format(&path, ImageFormat::Jpeg).unwrap();
        let input = take(&path, folder.path()).unwrap();
        assert_eq!(take(&path, folder.path()).unwrap().name, input.name);
        let mut painting = input.painting.clone();
        painting.invert();
        let mask = keep(folder.path(), painting.marks()).unwrap();
        let beginning = Beginning { picture: input.name.clone(), mask: Some(mask.clone()), ..Beginning::default() };
        let again = open(folder.path(), &beginning).unwrap();
        assert_eq!((&again.shown, again.painting.share()), (&input.shown, 1.0));
        keep(folder.path(), &Marks::new(3, 3)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let used: Vec<String> = beginning.files().map(str::to_owned).collect();
        tidy(folder.path(), &used).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        tidy(folder.path(), &[]).unwrap();
        let gone = open(folder.path(), &beginning).unwrap_err();
        assert!(gone.chain().join(": ").starts_with("reading the picture to begin with: "), "{gone}");
    }
}
