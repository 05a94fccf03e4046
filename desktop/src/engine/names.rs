//! Names of files: pictures are numbered, and have some of their prompt for people who look into the folder.

use std::fs;
use std::path::{Path, PathBuf};

use foveate::{Error, Request, Result};

/// Letters of a prompt in a name.
const LETTERS: usize = 48;

/// A free name for the next picture in `folder`.
pub fn next(folder: &Path, request: &Request) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let last = names.filter_map(|name| number(Path::new(&name))).max().unwrap_or(0);
    let what = match request.class {
        Some(class) => format!("class {class}"),
        None => request.prompt.clone(),
    };
    let name = format!("{:05} {}", last.saturating_add(1), slug(&what, LETTERS).replace('-', " "));
    Ok(folder.join(format!("{}.png", name.trim_end())))
}

/// The number of a picture.
pub fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    name[..digits].parse().ok()
}

/// Letters and digits of a text, with a dash for whatever is between them: a name on any system.
pub fn slug(text: &str, most: usize) -> String {
    let words: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let mut slug = String::new();
    for word in words.split_whitespace() {
        let long = slug.chars().count() + 1 + word.chars().count();
        if !slug.is_empty() && long > most {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.extend(word.chars().take(most));
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_numbered_after_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let next = |request: &Request| next(folder.path(), request).unwrap();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let first = next(&Request::prompt("a house: ../../red?"));
        assert_eq!(name(&first), "00001 a house red.png");
        fs::write(folder.path().join("00041 x.png"), "").unwrap();
        fs::write(folder.path().join("mine.png"), "").unwrap();
        assert_eq!(name(&next(&Request::class(207))), "00042 class 207.png");
        assert_eq!(name(&next(&Request::prompt(""))), "00042.png");
        let long = slug(&"ß家".repeat(1000), LETTERS);
        assert_eq!(long.chars().count(), LETTERS);
    }
}
