//! Pixels for JavaScript, and back as a file.

use foveate::{Error, Size};
use foveate_studio as studio;
use image::RgbImage;
use wasm_bindgen::prelude::*;

use crate::failure::{Thrown, failure};
use crate::options::read;

/// A picture.
#[wasm_bindgen]
pub struct Picture {
    /// Its width in pixels.
    #[wasm_bindgen(readonly)]
    pub width: usize,
    /// Its height in pixels.
    #[wasm_bindgen(readonly)]
    pub height: usize,
    rgba: Vec<u8>,
}

#[wasm_bindgen]
impl Picture {
    /// Its pixels, row by row.
    pub fn rgba(self) -> Vec<u8> {
        self.rgba
    }
}

impl Picture {
    pub(crate) fn new(size: Size, rgba: Vec<u8>) -> Self {
        Self { width: size.width, height: size.height, rgba }
    }
}

impl From<RgbImage> for Picture {
    fn from(picture: RgbImage) -> Self {
        let (width, height) = picture.dimensions();
        let rgba = picture.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 255]).collect();
        Self::new(Size::new(width as usize, height as usize), rgba)
    }
}

/// The colours of RGBA bytes.
pub(crate) fn rgb(width: usize, height: usize, rgba: &[u8]) -> foveate::Result<RgbImage> {
    let rgb = rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let picture = RgbImage::from_raw(width as u32, height as u32, rgb);
    picture.ok_or_else(|| Error::Usage(format!("{} bytes are no picture of {width}x{height}", rgba.len())))
}

#[wasm_bindgen]
extern "C" {
    /// What a picture says, in JavaScript.
    #[wasm_bindgen(typescript_type = "[string, string][]")]
    pub type JsSaid;
}

/// A picture as PNG with what it says, by name: what the command line writes.
#[wasm_bindgen]
pub fn png(width: usize, height: usize, rgba: &[u8], said: &JsSaid) -> Thrown<Vec<u8>> {
    let said = read::<Vec<(String, String)>>("text of the picture", said);
    said.and_then(|said| studio::png(&rgb(width, height, rgba)?, &said)).map_err(failure)
}
