//! The system's clipboard, for pictures: it takes them as files, which large ones are not made into in a frame.

use std::borrow::Cow;

use arboard::ImageData;
use foveate::{Error, Result};
use image::{DynamicImage, RgbImage};

/// Kept open: on some systems what was put into it is gone with it.
#[derive(Default)]
pub(super) struct Clipboard(Option<arboard::Clipboard>);

impl Clipboard {
    /// Puts a picture into it.
    pub fn put(&mut self, picture: RgbImage) -> Result<()> {
        let failed = |error: arboard::Error| Error::Usage(format!("the clipboard takes no picture: {error}"));
        let (width, height) = picture.dimensions();
        let bytes = Cow::from(DynamicImage::from(picture).into_rgba8().into_raw());
        let board = match &mut self.0 {
            Some(board) => board,
            none => none.insert(arboard::Clipboard::new().map_err(failed)?),
        };
        board.set_image(ImageData { width: width as usize, height: height as usize, bytes }).map_err(failed)
    }
}
