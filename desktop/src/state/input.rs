//! The picture that a drawing begins with: how it is named in a job, and as the form has it.

use foveate::photo::Fit;
use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use super::painting::Painting;

/// The most of a side that is added to a picture at once, in percent.
pub const MOST_ADDED: u32 = 200;

/// What a job begins with: files of the folder of inputs, and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beginning {
    /// The picture's file.
    pub picture: String,
    /// The mask's file, white where the picture is drawn anew. None: all of it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Whether a picture of another ratio than the canvas is shown whole, with its edges repeated; else it is cropped.
    pub pad: bool,
    /// Pixels around the mask over which what was drawn fades into the picture.
    pub feather: u32,
}

impl Beginning {
    /// How the picture is fitted to the canvas.
    pub fn fit(&self) -> Fit {
        if self.pad { Fit::Pad } else { Fit::Crop }
    }

    /// The files that it needs.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        [Some(self.picture.as_str()), self.mask.as_deref()].into_iter().flatten()
    }
}

/// The picture that the form begins with, and what is painted on it.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its file in the folder of inputs.
    pub name: String,
    /// The picture.
    pub picture: RgbImage,
    /// The picture as it is shown: of a large one fewer pixels.
    pub shown: RgbImage,
    /// What of it is drawn anew.
    pub painting: Painting,
}

/// A picture on a larger canvas: `added` percent of its sides at the left, the top, the right and the bottom. What is
/// added repeats the picture's edges, and is marked in the mask beside what was marked before.
pub fn extended(picture: &RgbImage, mask: &GrayImage, added: [u32; 4]) -> (RgbImage, GrayImage) {
    let (width, height) = picture.dimensions();
    let [left, top, right, bottom] = [(added[0], width), (added[1], height), (added[2], width), (added[3], height)]
        .map(|(percent, side)| (u64::from(side) * u64::from(percent.min(MOST_ADDED)) / 100) as u32);
    let (wide, high) = (width + left + right, height + top + bottom);
    let within = |x: u32, y: u32| (left..left + width).contains(&x) && (top..top + height).contains(&y);
    let at = |x: u32, y: u32| (x.saturating_sub(left).min(width - 1), y.saturating_sub(top).min(height - 1));
    let larger = RgbImage::from_fn(wide, high, |x, y| {
        let (x, y) = at(x, y);
        *picture.get_pixel(x, y)
    });
    let marks = GrayImage::from_fn(wide, high, |x, y| match within(x, y) {
        true => *mask.get_pixel(x - left, y - top),
        false => image::Luma([255]),
    });
    (larger, marks)
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    #[test]
    fn what_is_added_repeats_the_edges_and_is_marked() {
        let picture = RgbImage::from_fn(4, 2, |x, y| Rgb([x as u8, y as u8, 9]));
        let mut mask = GrayImage::new(4, 2);
        mask.put_pixel(1, 1, Luma([255]));
        let (larger, marks) = extended(&picture, &mask, [50, 0, 25, 100]);
        assert_eq!((larger.dimensions(), marks.dimensions()), ((7, 4), (7, 4)));
        assert_eq!(larger.get_pixel(0, 0), picture.get_pixel(0, 0));
        assert_eq!(larger.get_pixel(6, 3), picture.get_pixel(3, 1));
        assert_eq!(larger.get_pixel(3, 1), picture.get_pixel(1, 1));
        let kept: Vec<_> =
            marks.enumerate_pixels().filter(|(.., mark)| mark.0[0] == 0).map(|(x, y, _)| (x, y)).collect();
        assert_eq!(kept, [(2, 0), (3, 0), (4, 0), (5, 0), (2, 1), (4, 1), (5, 1)]);
    }
}
