//! Pictures of the caller's from their files, within limits.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use foveate::photo::{Photo, PhotoMask};
use foveate::{Error, Result};

/// The most bytes of a picture file.
const MOST_BYTES: u64 = 1 << 30;

/// The picture in a file: PNG, JPEG or WebP.
pub fn photo(path: &Path) -> Result<Photo> {
    Photo::decode(&path.display().to_string(), &bytes(path)?)
}

/// The mask in a file, white where a picture is drawn anew.
pub fn mask(path: &Path) -> Result<PhotoMask> {
    PhotoMask::decode(&path.display().to_string(), &bytes(path)?)
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| Error::io(path, error))?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(Error::file(path.display().to_string(), format!("is larger than {MOST_BYTES} bytes"))),
        false => Ok(bytes),
    }
}
