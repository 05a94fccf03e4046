//! Outpainting: a photo on a larger canvas, whose new border is drawn.

use std::fmt;
use std::str::FromStr;

use image::{GrayImage, Luma, RgbImage};

use super::decode::{MOST_PIXELS, Photo, PhotoMask};
use crate::size::{MOST_SIDE, elements};
use crate::{Error, Refusal, Result, Size};

/// What is added to a photo at its four sides. As text `left,top,right,bottom`: `64,0,64,0`, or `25%,0,25%,0`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Border {
    /// Left of the photo.
    pub left: Breadth,
    /// Above it.
    pub top: Breadth,
    /// Right of it.
    pub right: Breadth,
    /// Below it.
    pub bottom: Breadth,
}

/// How broad a border is. As text `64`, or `25%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Breadth {
    /// In pixels of the photo.
    Pixels(u32),
    /// In percent of the photo's width or height.
    Percent(f32),
}

/// A photo within its border, and the mask that marks the border.
pub(super) struct Bordered {
    pub photo: Photo,
    pub mask: PhotoMask,
}

/// The broadest border in percent: ten times the photo at each side.
const MOST_PERCENT: f32 = 1000.0;

impl Border {
    /// `photo` with its edge repeated over the border, which is drawn anew, as is what `mask` marks. Refuses a border
    /// without a pixel, and a picture that would be too large.
    pub(super) fn around(self, photo: &Photo, mask: Option<&PhotoMask>) -> Result<Bordered> {
        let Size { width, height } = photo.size();
        let [left, right] = [self.left, self.right].map(|breadth| breadth.pixels(width));
        let [top, bottom] = [self.top, self.bottom].map(|breadth| breadth.pixels(height));
        if [left, top, right, bottom] == [0; 4] {
            return Err(Error::Usage(format!("a border of {self} adds no pixel to a picture of {}", photo.size())));
        }
        let along = |before: usize, side: usize, after: usize| before.saturating_add(side).saturating_add(after);
        let size = Size::new(along(left, width, right), along(top, height, bottom));
        let what = || format!("a picture of {size} with its border");
        if size.width.max(size.height) > MOST_SIDE {
            let unit = "pixels along a side";
            return Err(Refusal::TooLarge { what: what(), most: MOST_SIDE as u64, unit }.into());
        }
        if elements(&[size.width, size.height]) > MOST_PIXELS {
            return Err(Refusal::TooLarge { what: what(), most: MOST_PIXELS, unit: "pixels are drawn into" }.into());
        }
        // Both sides are checked above: they fit u32.
        let (left, top) = (left as u32, top as u32);
        let nearest = |at: u32, before: u32, side: usize| at.saturating_sub(before).min(side as u32 - 1);
        let under = |x: u32, y: u32| (nearest(x, left, width), nearest(y, top, height));
        let [wide, high] = [size.width as u32, size.height as u32];
        let pixels = RgbImage::from_fn(wide, high, |x, y| {
            let (x, y) = under(x, y);
            *photo.0.get_pixel(x, y)
        });
        let marks = GrayImage::from_fn(wide, high, |x, y| {
            let (from_x, from_y) = under(x, y);
            let new = (from_x + left, from_y + top) != (x, y);
            Luma([255 * u8::from(new || mask.is_some_and(|mask| mask.marks(from_x, from_y)))])
        });
        Ok(Bordered { photo: Photo(pixels), mask: PhotoMask(marks) })
    }
}

impl Breadth {
    /// In pixels, beside a photo of so many.
    fn pixels(self, side: usize) -> usize {
        match self {
            Self::Pixels(pixels) => pixels as usize,
            Self::Percent(percent) => (side as f64 * f64::from(percent) / 100.0).round() as usize,
        }
    }
}

impl Default for Breadth {
    fn default() -> Self {
        Self::Pixels(0)
    }
}

impl FromStr for Border {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::Usage(format!("a border of {text:?}: {why}"));
        let sides: Vec<&str> = text.split(',').map(str::trim).collect();
        let &[left, top, right, bottom] = sides.as_slice() else {
            return Err(refuse("it is LEFT,TOP,RIGHT,BOTTOM, each in pixels or in percent, as 64 or 25%"));
        };
        let side = |text: &str| text.parse::<Breadth>().map_err(|error| refuse(&error.to_string()));
        Ok(Self { left: side(left)?, top: side(top)?, right: side(right)?, bottom: side(bottom)? })
    }
}

impl FromStr for Breadth {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |what: &str| Error::Usage(format!("{text:?} is no {what}"));
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Pixels).map_err(|_| refuse("number of pixels"));
        };
        match percent.trim_end().parse() {
            Ok(percent) if (0.0..=MOST_PERCENT).contains(&percent) => Ok(Self::Percent(percent)),
            _ => Err(refuse(&format!("share from 0% to {MOST_PERCENT}%"))),
        }
    }
}

impl fmt::Display for Border {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, top, right, bottom } = self;
        write!(f, "{left},{top},{right},{bottom}")
    }
}

impl fmt::Display for Breadth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => write!(f, "{pixels}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn photo(width: u32, height: u32) -> Photo {
        Photo(RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7])))
    }

    #[test]
    fn a_border_repeats_the_edge_and_is_marked() {
        let border: Border = "2, 0,50%,1".parse().unwrap();
        let Bordered { photo, mask } = border.around(&photo(4, 3), None).unwrap();
        assert_eq!(photo.size(), Size::new(8, 4));
        let row = |y| (0..8).map(|x| photo.0.get_pixel(x, y).0[0]).collect::<Vec<_>>();
        assert_eq!(row(0), [0, 0, 0, 1, 2, 3, 3, 3]);
        assert_eq!((row(3), photo.0.get_pixel(4, 3).0), (row(2), [2, 2, 7]));
        let marks = |y| (0..8).map(|x| u8::from(mask.marks(x, y))).collect::<Vec<_>>();
        assert_eq!((marks(0), marks(3)), (vec![1, 1, 0, 0, 0, 0, 1, 1], vec![1; 8]));
    }

    #[test]
    fn what_a_mask_marks_is_drawn_with_the_border() {
        let mut within = GrayImage::new(2, 1);
        within.put_pixel(1, 0, Luma([255]));
        let border = Border { left: Breadth::Pixels(1), ..Border::default() };
        let Bordered { mask, .. } = border.around(&photo(2, 1), Some(&PhotoMask(within))).unwrap();
        assert_eq!([0, 1, 2].map(|x| mask.marks(x, 0)), [true, false, true]);
    }

    #[test]
    fn borders_are_read_as_they_are_printed() {
        for text in ["64,0,64,0", "12.5%,0,0%,7", "0,1000%,0,0"] {
            assert_eq!(text.parse::<Border>().unwrap().to_string(), text);
        }
        for (text, reason) in [
            ("64", "it is LEFT,TOP,RIGHT,BOTTOM"),
            ("1,2,3,4,5", "it is LEFT,TOP,RIGHT,BOTTOM"),
            ("-1,0,0,0", "\"-1\" is no number of pixels"),
            ("0,x%,0,0", "\"x%\" is no share from 0% to 1000%"),
            ("0,1001%,0,0", "no share from 0% to 1000%"),
            ("0,NaN%,0,0", "no share from 0% to 1000%"),
            ("99999999999,0,0,0", "is no number of pixels"),
        ] {
            let error = text.parse::<Border>().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn borders_without_sense_are_refused() {
        for (text, reason) in [
            ("0,0,0%,0", "a border of 0,0,0%,0 adds no pixel to a picture of 8x4"),
            ("10%,0,0,0.1%", ""),
            ("4294967295,0,4294967295,0", "too large: at most 65536 pixels along a side"),
            ("60000,60000,0,0", "too large: at most 134217728 pixels are drawn into"),
        ] {
            match text.parse::<Border>().unwrap().around(&photo(8, 4), None) {
                Ok(bordered) => assert_eq!((reason, bordered.photo.size()), ("", Size::new(9, 4))),
                Err(error) => assert!(error.is_usage() && error.to_string().contains(reason), "{error}"),
            }
        }
    }
}
