//! Pictures as textures: thumbnails of the history, and the few whole pictures that are shown.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use egui::{Color32, ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;

use crate::disk::Entry;
use crate::input::Input;
use crate::picture::within;

/// Whole pictures that are kept: two to compare and those just looked at.
const WHOLE: usize = 6;

/// The longer side of a mask as it is shown, at most.
const VEIL: u32 = 800;

/// Textures by the paths of their pictures.
#[derive(Default)]
pub struct Album {
    thumbnails: HashMap<PathBuf, TextureHandle>,
    /// The one looked at last is the last.
    whole: Vec<(PathBuf, TextureHandle)>,
    /// Whole pictures that were asked for and are not here yet.
    wanted: Vec<PathBuf>,
    /// Those that were handed on to be read.
    asked: Vec<PathBuf>,
    /// Those that could not be read.
    unreadable: Vec<PathBuf>,
    live: Option<(u64, u64, TextureHandle)>,
    /// The picture to begin with, by its name.
    input: Option<(String, TextureHandle)>,
    /// Its mask, by the picture's name and the mask's version.
    overlay: Option<(String, u64, TextureHandle)>,
}

/// A whole picture, as far as it is here.
pub enum Whole {
    Here(TextureHandle),
    /// It is being read.
    Coming,
    /// Its file cannot be read.
    Unreadable,
}

impl Album {
    /// The thumbnail of a picture.
    pub fn thumbnail(&mut self, ctx: &Context, entry: &Entry) -> &TextureHandle {
        let make = || texture(ctx, &entry.path.to_string_lossy(), &entry.thumbnail);
        self.thumbnails.entry(entry.path.clone()).or_insert_with(make)
    }

    /// A whole picture, once it is read.
    pub fn whole(&mut self, path: &Path) -> Whole {
        if let Some(at) = self.whole.iter().position(|(known, _)| known == path) {
            let looked_at = self.whole.remove(at);
            let texture = looked_at.1.clone();
            self.whole.push(looked_at);
            return Whole::Here(texture);
        }
        if self.unreadable.iter().any(|known| known == path) {
            return Whole::Unreadable;
        }
        if !self.asked.iter().chain(&self.wanted).any(|known| known == path) {
            self.wanted.push(path.to_owned());
        }
        Whole::Coming
    }

    /// The whole pictures that have to be read.
    pub fn wanted(&mut self) -> Vec<PathBuf> {
        self.asked.extend(self.wanted.iter().cloned());
        std::mem::take(&mut self.wanted)
    }

    /// Takes in a whole picture.
    pub fn put(&mut self, ctx: &Context, path: PathBuf, picture: &RgbImage) {
        self.forget(&path);
        let texture = texture(ctx, &path.to_string_lossy(), picture);
        self.whole.push((path, texture));
        if self.whole.len() > WHOLE {
            drop(self.whole.remove(0));
        }
    }

    /// Takes in that a whole picture cannot be read.
    pub fn fail(&mut self, path: PathBuf) {
        self.forget(&path);
        self.unreadable.push(path);
    }

    /// Forgets a picture.
    pub fn remove(&mut self, path: &Path) {
        self.thumbnails.remove(path);
        self.forget(path);
    }

    /// Forgets all about a whole picture.
    fn forget(&mut self, path: &Path) {
        self.whole.retain(|(known, _)| known != path);
        for paths in [&mut self.wanted, &mut self.asked, &mut self.unreadable] {
            paths.retain(|known| known != path);
        }
    }

    /// The picture to begin with.
    pub fn input(&mut self, ctx: &Context, input: &Input) -> TextureHandle {
        match &self.input {
            Some((name, texture)) if *name == input.name => texture.clone(),
            _ => {
                let texture = texture(ctx, "input", &input.shown);
                self.input = Some((input.name.clone(), texture.clone()));
                texture
            }
        }
    }

    /// The mask on it, to be laid over it.
    pub fn overlay(&mut self, ctx: &Context, input: &Input) -> TextureHandle {
        let version = input.painting.version();
        match &mut self.overlay {
            Some((name, at, texture)) if *name == input.name => {
                if *at != version {
                    texture.set(veil(input), TextureOptions::NEAREST);
                    *at = version;
                }
                texture.clone()
            }
            overlay => {
                let texture = ctx.load_texture("mask", veil(input), TextureOptions::NEAREST);
                *overlay = Some((input.name.clone(), version, texture.clone()));
                texture
            }
        }
    }

    /// The preview of a job, which changes with every `count`.
    pub fn live(&mut self, ctx: &Context, job: u64, count: u64, picture: &RgbImage) -> TextureHandle {
        match &mut self.live {
            Some((known, at, texture)) if *known == job => {
                if *at != count {
                    texture.set(pixels(picture), TextureOptions::LINEAR);
                    *at = count;
                }
                texture.clone()
            }
            live => {
                let texture = texture(ctx, "preview", picture);
                *live = Some((job, count, texture.clone()));
                texture
            }
        }
    }
}

/// A mask as colour over the picture that it belongs to, at most [`VEIL`] pixels along a side.
fn veil(input: &Input) -> ColorImage {
    let marks = input.painting.marks();
    let (whole, shown) = (marks.size(), within(VEIL, marks.size()));
    let along = |at: u32, shown: u32, side: u32| (u64::from(at) * u64::from(side) / u64::from(shown)) as u32;
    let colours = [Color32::TRANSPARENT, Color32::from_rgba_unmultiplied(255, 60, 110, 130)];
    let pixels = (0..shown.1)
        .flat_map(|y| (0..shown.0).map(move |x| (x, y)))
        .map(|(x, y)| colours[usize::from(marks.has(along(x, shown.0, whole.0), along(y, shown.1, whole.1)))]);
    ColorImage::new([shown.0 as usize, shown.1 as usize], pixels.collect())
}

/// A picture as egui has it.
fn pixels(picture: &RgbImage) -> ColorImage {
    ColorImage::from_rgb([picture.width() as usize, picture.height() as usize], picture.as_raw())
}

fn texture(ctx: &Context, name: &str, picture: &RgbImage) -> TextureHandle {
    ctx.load_texture(name, pixels(picture), TextureOptions::LINEAR)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::input::Painting;
    use crate::testing::busy;

    #[test]
    fn the_mask_of_a_large_picture_is_shown_within_a_frame() {
        const SIDE: u32 = 10_000;
        let (ctx, mut album) = (Context::default(), Album::default());
        let painting = Painting::new(SIDE, SIDE);
        let mut input =
            Input { name: "a".into(), size: (SIDE, SIDE), shown: RgbImage::new(2, 2), painting, mask: None };
        for _ in 0..2 {
            input.painting.stroke([0.0, 0.0], [9000.0, 9000.0], 900.0, true);
            let took = busy(|| drop(album.overlay(&ctx, &input)));
            assert!(took < Duration::from_millis(50), "{took:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_for_longest_makes_way() {
        let (ctx, picture, mut album) = (Context::default(), RgbImage::new(2, 2), Album::default());
        let path = |at: usize| PathBuf::from(format!("{at}.png"));
        for at in 0..WHOLE {
            album.put(&ctx, path(at), &picture);
        }
        assert!(matches!(album.whole(&path(0)), Whole::Here(_)));
        album.put(&ctx, path(WHOLE), &picture);
        assert!(matches!(album.whole(&path(0)), Whole::Here(_)));
        assert!(matches!(album.whole(&path(1)), Whole::Coming));
        assert_eq!(album.wanted(), [path(1)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_asked_for_once() {
        let (ctx, path, mut album) = (Context::default(), PathBuf::from("a.png"), Album::default());
        assert!(matches!(album.whole(&path), Whole::Coming));
        assert_eq!(album.wanted().len(), 1);
        album.fail(path.clone());
        assert!(matches!(album.whole(&path), Whole::Unreadable));
        assert!(album.wanted().is_empty());
        album.put(&ctx, path.clone(), &RgbImage::new(2, 2));
        assert!(matches!(album.whole(&path), Whole::Here(_)));
        // A picture of the same name may come after one that was deleted while it was being read.
        album.remove(&path);
        assert!(matches!(album.whole(&path), Whole::Coming));
        album.wanted();
        album.remove(&path);
        album.whole(&path);
        assert_eq!(album.wanted(), [path]);
    }
}
