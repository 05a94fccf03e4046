//! The history: pictures on the disk, each of which says how it was drawn.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use foveate::{Error, Result};
use foveate_studio::{Origin, photo, words};
use image::RgbImage;

use crate::engine::{Took, names::number};
use crate::picture::{THUMBNAIL, shrunk};

/// How many pictures are read and reported at once.
const PAGE: usize = 24;

/// A picture of the history.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// How it was drawn.
    pub origin: Origin,
    /// What it took, where this program drew it.
    pub took: Option<Took>,
    /// The picture, small.
    pub thumbnail: RgbImage,
}

impl Entry {
    /// Whether all words of `sought` are in what it was drawn from.
    pub fn matches(&self, sought: &str) -> bool {
        let request = &self.origin.request;
        let class = request.class.map(|class| format!("class {class}")).unwrap_or_default();
        let negative = request.negative.as_deref().unwrap_or_default();
        let text = format!("{} {negative} {class} {} {}", request.prompt, self.origin.model, request.seed);
        let text = text.to_lowercase();
        sought.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// The pictures of a folder by the page, the newest first.
pub(super) fn pages(folder: &Path) -> Result<VecDeque<Vec<PathBuf>>> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut paths: Vec<(u64, PathBuf)> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    paths.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let page = |page: &[(u64, PathBuf)]| page.iter().map(|(_, path)| path.clone()).collect();
    Ok(paths.chunks(PAGE).map(page).collect())
}

/// Reads a page. A file that says nothing of its origin is none of ours.
pub(super) fn read_page(page: &[PathBuf]) -> Vec<Entry> {
    page.iter().filter_map(|path| read(path).inspect_err(|error| log::info!("{error}")).ok()).collect()
}

fn read(path: &Path) -> Result<Entry> {
    let origin = Origin::read(path)?;
    let took = Took::from_words(&words(path)?);
    Ok(Entry { path: path.to_owned(), origin, took, thumbnail: shrunk(THUMBNAIL, load(path)?) })
}

/// A picture, whole.
pub(super) fn load(path: &Path) -> Result<RgbImage> {
    Ok(photo::photo(path)?.0)
}

#[cfg(test)]
mod tests {
    use foveate::Request;
    use foveate_studio::About;

    use super::*;

    fn picture(folder: &Path, name: &str, prompt: &str) {
        let origin = Origin::new(&Request { seed: 9, ..Request::prompt(prompt) }, "scenes", None, "DDIMScheduler");
        let about = About { origin, text: vec![("compress", "dense".to_owned())] };
        let took = Took { seconds: 1.5, flops: 7, dense_flops: 9, device: "CPU".into(), policy: String::new() };
        let bytes = about.png(&RgbImage::new(640, 320), 0, &took.words()).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn pictures_are_found_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        picture(folder.path(), "00001 a red house.png", "A red house");
        picture(folder.path(), "00010 a fox.png", "a fox");
        fs::write(folder.path().join("00011 broken.png"), "no picture").unwrap();
        picture(folder.path(), "not numbered.png", "a wolf");
        let pages = pages(folder.path()).unwrap();
        assert_eq!(pages.len(), 1);
        let found = read_page(&pages[0]);
        let prompts: Vec<_> = found.iter().map(|entry| entry.origin.request.prompt.as_str()).collect();
        assert_eq!(prompts, ["a fox", "A red house"]);
        assert_eq!((found[0].thumbnail.width(), found[0].thumbnail.height()), (160, 80));
        assert_eq!(found[0].took.as_ref().map(|took| (took.seconds, took.flops)), Some((1.5, 7)));
        assert_eq!(found[0].took.as_ref().map(|took| took.policy.as_str()), Some("dense"));
        assert!(found[1].matches("HOUSE red 9") && found[1].matches("") && !found[1].matches("red fox"));
        assert!(super::pages(&folder.path().join("absent")).is_err());
    }
}
