//! Pictures as textures: thumbnails of the history, and the few whole pictures that are shown.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;

use crate::disk::Entry;

/// Whole pictures that are kept: two to compare and those just looked at.
const WHOLE: usize = 6;

/// Textures by the paths of their pictures.
#[derive(Default)]
pub struct Album {
    thumbnails: HashMap<PathBuf, TextureHandle>,
    /// The latest last.
    whole: Vec<(PathBuf, TextureHandle)>,
    /// Whole pictures that were asked for and are not here yet.
    wanted: Vec<PathBuf>,
    /// Those that were handed on to be read.
    asked: Vec<PathBuf>,
    live: Option<(u64, u64, TextureHandle)>,
}

impl Album {
    /// The thumbnail of a picture.
    pub fn thumbnail(&mut self, ctx: &Context, entry: &Entry) -> &TextureHandle {
        let make = || texture(ctx, &entry.path.to_string_lossy(), &entry.thumbnail);
        self.thumbnails.entry(entry.path.clone()).or_insert_with(make)
    }

    /// A whole picture, once it is read.
    pub fn whole(&mut self, path: &Path) -> Option<TextureHandle> {
        let found = self.whole.iter().find(|(known, _)| known == path).map(|(_, texture)| texture.clone());
        if found.is_none() && !self.asked.iter().chain(&self.wanted).any(|known| known == path) {
            self.wanted.push(path.to_owned());
        }
        found
    }

    /// The whole pictures that have to be read.
    pub fn wanted(&mut self) -> Vec<PathBuf> {
        self.asked.extend(self.wanted.iter().cloned());
        std::mem::take(&mut self.wanted)
    }

    /// Takes in a whole picture.
    pub fn put(&mut self, ctx: &Context, path: PathBuf, picture: &RgbImage) {
        self.asked.retain(|asked| *asked != path);
        self.whole.retain(|(known, _)| *known != path);
        let texture = texture(ctx, &path.to_string_lossy(), picture);
        self.whole.push((path, texture));
        if self.whole.len() > WHOLE {
            drop(self.whole.remove(0));
        }
    }

    /// Forgets a picture.
    pub fn remove(&mut self, path: &Path) {
        self.thumbnails.remove(path);
        self.whole.retain(|(known, _)| known != path);
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

/// A picture as egui has it.
pub fn pixels(picture: &RgbImage) -> ColorImage {
    ColorImage::from_rgb([picture.width() as usize, picture.height() as usize], picture.as_raw())
}

fn texture(ctx: &Context, name: &str, picture: &RgbImage) -> TextureHandle {
    ctx.load_texture(name, pixels(picture), TextureOptions::LINEAR)
}
