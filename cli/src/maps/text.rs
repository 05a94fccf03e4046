//! Text in pictures, in one small bitmap font.

use foveate::{Error, Result};
use image::{GrayImage, Rgb, RgbImage};

/// Spleen 8x16 by Frederic Cambus (<https://github.com/fcambus/spleen>; BSD 2-clause, its terms in the file's text
/// chunks), a bitmap font that is still cared for: Latin-1 from the space on, sixteen letters in a row. 3 KB, where a
/// crate that draws outlines would bring a font of some hundred.
const SPLEEN: &[u8] = include_bytes!("spleen-8x16.png");

/// Width of every letter.
pub const WIDTH: u32 = 8;
/// Height of a line, with the space that the letters leave above and below.
pub const HEIGHT: u32 = 16;

const COLUMNS: u32 = 16;

/// The letters.
#[derive(Debug)]
pub struct Font(GrayImage);

impl Font {
    /// Reads them.
    pub fn new() -> Result<Self> {
        let letters = image::load_from_memory(SPLEEN);
        letters.map(|letters| Self(letters.to_luma8())).map_err(|error| Error::file("the font", error.to_string()))
    }

    /// Writes one line from its upper left corner. What the font lacks becomes a question mark; what lies beyond the
    /// picture's edge is lost.
    pub fn write(&self, on: &mut RgbImage, [left, top]: [u32; 2], text: &str, ink: Rgb<u8>) {
        for (index, letter) in (0..).zip(text.chars()) {
            let known = match u32::from(letter) {
                code @ (0x20..=0x7e | 0xa0..=0xff) => code,
                _ if letter.is_whitespace() => 0x20,
                _ => u32::from('?'),
            };
            let [column, row] = [(known - 0x20) % COLUMNS, (known - 0x20) / COLUMNS];
            for (x, y) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y))) {
                let lit = self.0.get_pixel(column * WIDTH + x, row * HEIGHT + y).0[0] > 0;
                if let (true, Some(pixel)) = (lit, on.get_pixel_mut_checked(left + index * WIDTH + x, top + y)) {
                    *pixel = ink;
                }
            }
        }
    }
}

/// Pixels that a line is wide.
pub fn width(text: &str) -> u32 {
    text.chars().count() as u32 * WIDTH
}

/// The text, or as much of it as fits into so many pixels.
pub fn fit(text: &str, pixels: u32) -> String {
    if width(text) <= pixels {
        return text.into();
    }
    let room = (pixels / WIDTH).saturating_sub(3) as usize;
    text.chars().take(room).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(text: &str) -> Vec<(u32, u32)> {
        let mut picture = RgbImage::new(3 * WIDTH, HEIGHT);
        Font::new().unwrap().write(&mut picture, [WIDTH, 0], text, Rgb([255; 3]));
        picture.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 0).map(|(x, y, _)| (x, y)).collect()
    }

    #[test]
    fn letters_stand_in_their_places() {
        assert!(lit(" ").is_empty() && lit("\n").is_empty());
        let bar = lit("|");
        assert!(bar.len() > 8 && bar.iter().all(|(x, _)| (WIDTH..2 * WIDTH).contains(x)));
        assert_ne!(lit("O"), lit("0"));
        assert_ne!(lit("ä"), lit("?"));
        assert_eq!(lit("語"), lit("?"));
        assert_eq!(lit("||||").len(), 2 * bar.len(), "what lies beyond the edge is lost");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!((fit("abcdef", 48), fit("abcdefg", 48)), ("abcdef".into(), "abc...".into()));
    }
}
