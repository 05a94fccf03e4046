//! Reading from a folder with seek and read: a range costs its own length in memory and nothing else.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::{check_range, check_whole};
use crate::{Error, Result};

pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let size = size(path)?;
    check_whole(&path.display().to_string(), size, most)?;
    fs::read(path).map_err(|e| Error::io(path, e))
}

pub fn read_range(path: &Path, range: Range<u64>) -> Result<Vec<u8>> {
    check_range(&path.display().to_string(), &range, size(path)?)?;
    let mut bytes = vec![0; (range.end - range.start) as usize];
    File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut bytes)
        })
        .map_err(|e| Error::io(path, e))?;
    Ok(bytes)
}

/// The size of a regular file; anything else (a folder, a pipe that would never end) is refused.
pub fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(Error::file(path.display().to_string(), "is not a file")) }
}

pub fn exists(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(Error::io(path, e)),
    }
}
