//! Where a photo lies on the canvas that a model draws on, and back again.

use std::fmt;
use std::str::FromStr;

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

use super::{Photo, PhotoMask};
use crate::area::steps_away;
use crate::request::check_pixels;
use crate::{Error, Refusal, Result, Size, Tensor};

/// How a photo whose sides have another ratio than the canvas is fitted to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// The canvas is filled, and what of the photo does not fit is left out: around the middle, or around what a mask
    /// marks.
    #[default]
    Crop,
    /// The whole photo is shown, and the rest of the canvas repeats its edges.
    Pad,
}

/// In a mask of a canvas: this pixel is kept, and shown with what is drawn beside it.
const FADES: f32 = 0.25;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rect {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// A part of a photo, and the part of a canvas that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    photo: Rect,
    canvas: Rect,
    size: Size,
}

impl Frame {
    /// Fits a photo to a canvas of `size`. What `mask` marks stays in sight where it can. Refuses a photo or a canvas
    /// without a pixel, and a canvas that is too large.
    pub fn new(photo: &Photo, mask: Option<&PhotoMask>, size: Size, fit: Fit) -> Result<Self> {
        check_pixels("a canvas", size, 1)?;
        for (what, size) in [("photo", photo.size()), ("canvas", size)] {
            if size.width == 0 || size.height == 0 {
                return Err(Error::Usage(format!("a {what} of {size} has no pixel")));
            }
        }
        Ok(Self::of(photo.size(), mask, size, fit))
    }

    fn of(photo: Size, mask: Option<&PhotoMask>, size: Size, fit: Fit) -> Self {
        let Size { width, height } = photo;
        let (wide, high) = (size.width as f64 / width as f64, size.height as f64 / height as f64);
        let whole = Rect { left: 0, top: 0, width: width as u32, height: height as u32 };
        let canvas = Rect { left: 0, top: 0, width: size.width as u32, height: size.height as u32 };
        match fit {
            Fit::Crop => {
                let scale = wide.max(high);
                let middle = mask.and_then(PhotoMask::bounds).unwrap_or([0, 0, whole.width, whole.height]);
                let along = |pixels: usize, side: u32, from: u32, to: u32| {
                    let shown = ((pixels as f64 / scale).round() as u32).clamp(1, side);
                    (((from + to).saturating_sub(shown) / 2).min(side - shown), shown)
                };
                let (left, width) = along(size.width, whole.width, middle[0], middle[2]);
                let (top, height) = along(size.height, whole.height, middle[1], middle[3]);
                Self { photo: Rect { left, top, width, height }, canvas, size }
            }
            Fit::Pad => {
                let scale = wide.min(high);
                let along =
                    |pixels: usize, side: u32| ((f64::from(side) * scale).round() as u32).clamp(1, pixels as u32);
                let (width, height) = (along(size.width, whole.width), along(size.height, whole.height));
                let (left, top) = ((canvas.width - width) / 2, (canvas.height - height) / 2);
                Self { photo: whole, canvas: Rect { left, top, width, height }, size }
            }
        }
    }

    /// The canvas with the photo on it, `[3, H, W]` in 0…1. The photo is the one that the frame was made for.
    pub fn picture(&self, photo: &Photo) -> Result<Tensor> {
        self.check("the photo", photo.size())?;
        let shown = imageops::crop_imm(&photo.0, self.photo.left, self.photo.top, self.photo.width, self.photo.height);
        let shown = &resized(shown.to_image(), self.canvas);
        let planes = (0..3).flat_map(|channel| self.filled(move |x, y| shown_at(shown, x, y, channel)));
        Tensor::new(&[3, self.size.height, self.size.width], planes.collect())
    }

    /// The canvas's mask `[H, W]`: 1 where it is drawn anew, and a quarter where that fades into the photo within
    /// `feather` pixels of the photo. Around a padded photo it repeats its edge, as the photo does.
    pub fn mask(&self, mask: &PhotoMask, feather: u32) -> Result<Tensor> {
        let (width, height) = mask.0.dimensions();
        self.check("the mask", Size::new(width as usize, height as usize))?;
        let share = shares(mask, feather);
        let Rect { left, top, width, height } = self.photo;
        // All pixels that lie under one of the canvas: a line that is finer than these is not lost.
        let under = |at: u32, from: u32, shown: u32, side: u32| {
            let place = |at: u32| u64::from(at) * u64::from(side);
            let (start, end) = (place(at) / u64::from(shown), place(at + 1).div_ceil(u64::from(shown)));
            from + start as u32..from + end as u32
        };
        let pixel = |x: u32, y: u32| {
            let (columns, rows) = (under(x, left, self.canvas.width, width), under(y, top, self.canvas.height, height));
            let all = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            match all.map(|(x, y)| share.get_pixel(x, y).0[0]).max() {
                None | Some(0) => 0.0,
                Some(255) => 1.0,
                Some(_) => FADES,
            }
        };
        Tensor::new(&[self.size.height, self.size.width], self.filled(pixel).collect())
    }

    /// Refuses a photo, or a mask of one, that ends within the part that is shown.
    fn check(&self, what: &'static str, given: Size) -> Result<()> {
        let Rect { left, top, width, height } = self.photo;
        let wanted = Size::new((left + width) as usize, (top + height) as usize);
        match given.width < wanted.width || given.height < wanted.height {
            true => Err(Refusal::OtherSize { what, given, wanted }.into()),
            false => Ok(()),
        }
    }

    /// What was drawn, without what the photo does not cover.
    pub fn drawn(&self, canvas: &RgbImage) -> RgbImage {
        let Rect { left, top, width, height } = self.canvas;
        imageops::crop_imm(canvas, left, top, width, height).to_image()
    }

    /// The photo at its own size with what was drawn in place of what `mask` marks. Every other pixel is the photo's,
    /// but for those within `feather` pixels of the mask, over which the one fades into the other. Of a frame that was
    /// made for another photo, what lies outside this one is left out.
    pub fn put_back(&self, photo: &Photo, mask: &PhotoMask, canvas: &RgbImage, feather: u32) -> RgbImage {
        let mut result = photo.0.clone();
        let drawn = resized(self.drawn(canvas), self.photo);
        let share = shares(mask, feather);
        for (x, y, new) in drawn.enumerate_pixels() {
            let (x, y) = (self.photo.left + x, self.photo.top + y);
            let (Some(share), Some(old)) = (share.get_pixel_checked(x, y), result.get_pixel_mut_checked(x, y)) else {
                continue;
            };
            let share = u32::from(share.0[0]);
            for (old, new) in old.0.iter_mut().zip(new.0) {
                *old = ((u32::from(new) * share + u32::from(*old) * (255 - share) + 127) / 255) as u8;
            }
        }
        result
    }

    /// Where the whole canvas lies on a photo of this size: left, top, width and height in shares of the photo's sides. Of
    /// a padded photo it is larger.
    pub fn extent(&self, photo: Size) -> [f64; 4] {
        let along = |from: u32, shown: u32, before: u32, count: u32, canvas: usize, side: usize| {
            let pixel = f64::from(shown) / f64::from(count); // of the canvas, in those of the photo
            let [start, length] = [f64::from(from) - f64::from(before) * pixel, canvas as f64 * pixel];
            [start, length].map(|at| at / side as f64)
        };
        let Self { photo: of, canvas: on, size } = self;
        let [left, width] = along(of.left, of.width, on.left, on.width, size.width, photo.width);
        let [top, height] = along(of.top, of.height, on.top, on.height, size.height, photo.height);
        [left, top, width, height]
    }

    /// Values over the canvas, of the pixel of the shown photo that is nearest to each.
    fn filled(&self, value: impl Fn(u32, u32) -> f32) -> impl Iterator<Item = f32> {
        let Self { canvas, size, .. } = *self;
        (0..size.height as u32).flat_map(move |y| (0..size.width as u32).map(move |x| (x, y))).map(move |(x, y)| {
            let within = |at: u32, from: u32, count: u32| at.saturating_sub(from).min(count - 1);
            value(within(x, canvas.left, canvas.width), within(y, canvas.top, canvas.height))
        })
    }
}

fn shown_at(shown: &RgbImage, x: u32, y: u32, channel: usize) -> f32 {
    f32::from(shown.get_pixel(x, y).0[channel]) / 255.0
}

/// The picture at the size of `area`; itself where it has that size, and black where it has no pixel.
fn resized(picture: RgbImage, area: Rect) -> RgbImage {
    match picture.dimensions() {
        size if size == (area.width, area.height) => picture,
        (0, _) | (_, 0) => RgbImage::new(area.width, area.height),
        _ => imageops::resize(&picture, area.width, area.height, FilterType::Lanczos3),
    }
}

/// How much of what was drawn each pixel gets, in 255ths: all where the mask marks it, and less and less outside.
fn shares(mask: &PhotoMask, feather: u32) -> GrayImage {
    let (width, height) = mask.0.dimensions();
    if feather == 0 {
        return GrayImage::from_fn(width, height, |x, y| image::Luma([255 * u8::from(mask.marks(x, y))]));
    }
    let (size, steps) = (Size::new(width as usize, height as usize), feather.saturating_add(1));
    let away = steps_away(size, |x, y| mask.marks(x as u32, y as u32), steps);
    GrayImage::from_fn(width, height, |x, y| {
        let left = u64::from(steps - away[y as usize * size.width + x as usize]);
        image::Luma([(255 * left / u64::from(steps)) as u8])
    })
}

impl FromStr for Fit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "crop" => Ok(Self::Crop),
            "pad" => Ok(Self::Pad),
            _ => Err(Error::Usage(format!("no way to fit a picture is called {text:?}: there are crop and pad"))),
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crop => "crop",
            Self::Pad => "pad",
        })
    }
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    fn photo(width: u32, height: u32) -> Photo {
        Photo(RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8])))
    }

    fn mask(width: u32, height: u32, marks: impl Fn(u32, u32) -> bool) -> PhotoMask {
        PhotoMask(GrayImage::from_fn(width, height, |x, y| Luma([255 * u8::from(marks(x, y))])))
    }

    #[test]
    fn a_photo_of_the_canvass_size_stays_as_it_is() {
        let photo = photo(12, 8);
        for fit in [Fit::Crop, Fit::Pad] {
            let frame = Frame::new(&photo, None, Size::new(12, 8), fit).unwrap();
            let picture = frame.picture(&photo).unwrap();
            let pixel = |x: u32, y: u32, c: usize| f32::from(photo.0.get_pixel(x, y).0[c]) / 255.0;
            assert_eq!(picture.f32()[96 + 2 * 12 + 7], pixel(7, 2, 1));
            assert_eq!(frame.drawn(&photo.0), photo.0);
        }
    }

    #[test]
    fn crop_fills_the_canvas_around_what_is_marked() {
        let photo = photo(40, 20);
        let frame = |mask: Option<&PhotoMask>| Frame::new(&photo, mask, Size::square(10), Fit::Crop).unwrap().photo;
        assert_eq!(frame(None), Rect { left: 10, top: 0, width: 20, height: 20 });
        let right = mask(40, 20, |x, y| x > 37 && y < 2);
        assert_eq!(frame(Some(&right)), Rect { left: 20, top: 0, width: 20, height: 20 });
        let size = photo.size();
        assert_eq!(
            Frame::new(&photo, Some(&right), Size::square(10), Fit::Crop).unwrap().extent(size),
            [0.5, 0.0, 0.5, 1.0]
        );
    }

    #[test]
    fn pad_shows_the_whole_photo_and_repeats_its_edges() {
        let photo = Photo(RgbImage::from_fn(4, 2, |x, _| Rgb([x as u8 * 80, 0, 0])));
        let frame = Frame::new(&photo, None, Size::square(4), Fit::Pad).unwrap();
        assert_eq!(frame.canvas, Rect { left: 0, top: 1, width: 4, height: 2 });
        let picture = frame.picture(&photo).unwrap();
        let red = &picture.f32()[..16];
        assert_eq!(red[..4], red[4..8]);
        assert_eq!(red[12..], red[8..12]);
        assert_eq!(frame.extent(photo.size()), [0.0, -0.5, 1.0, 2.0]);
        let canvas = RgbImage::from_pixel(4, 4, Rgb([9; 3]));
        assert_eq!(frame.drawn(&canvas).dimensions(), (4, 2));
    }

    #[test]
    fn outside_the_mask_every_pixel_is_the_photos() {
        let photo = photo(30, 17);
        let mask = mask(30, 17, |x, y| (5..9).contains(&x) && (3..11).contains(&y));
        let white = RgbImage::from_pixel(16, 16, Rgb([255; 3]));
        for fit in [Fit::Crop, Fit::Pad] {
            let frame = Frame::new(&photo, Some(&mask), Size::square(16), fit).unwrap();
            let result = frame.put_back(&photo, &mask, &white, 0);
            for (x, y, pixel) in result.enumerate_pixels() {
                let expected = if mask.marks(x, y) { Rgb([255; 3]) } else { *photo.0.get_pixel(x, y) };
                assert_eq!(*pixel, expected, "{fit} ({x}, {y})");
            }
        }
    }

    #[test]
    fn a_feather_fades_outside_the_mask_and_no_further() {
        let photo = Photo(RgbImage::new(20, 1));
        let mask = mask(20, 1, |x, _| x < 5);
        let white = RgbImage::from_pixel(20, 1, Rgb([255; 3]));
        let frame = Frame::new(&photo, Some(&mask), Size::new(20, 1), Fit::Crop).unwrap();
        let result = frame.put_back(&photo, &mask, &white, 3);
        let row: Vec<u8> = (3..10).map(|x| result.get_pixel(x, 0).0[0]).collect();
        assert_eq!(row, [255, 255, 191, 127, 63, 0, 0]);
    }

    /// Of a pixel, and of a line along a border: each is finer than a pixel of the canvas.
    #[test]
    fn fine_masks_are_not_lost() {
        let photo = photo(200, 100);
        for (marked, x, y) in [((77, 55), 24, 17), ((199, 99), 63, 31), ((0, 0), 0, 0)] {
            let mask = mask(200, 100, |x, y| (x, y) == marked);
            for fit in [Fit::Crop, Fit::Pad] {
                let frame = Frame::new(&photo, None, Size::new(64, 32), fit).unwrap().mask(&mask, 0).unwrap();
                let found: Vec<_> = (0..64 * 32).filter(|&at| frame.f32()[at] == 1.0).collect();
                assert_eq!(found, [y * 64 + x], "{marked:?} {fit}");
            }
        }
    }

    /// A host may mix up what it has, and what it made.
    #[test]
    fn what_does_not_belong_together_is_refused() {
        let small = photo(4, 3);
        for (photo, size, reason) in [
            (&photo(0, 0), Size::square(8), "a photo of 0x0 has no pixel"),
            (&photo(0, 9), Size::square(8), "a photo of 0x9 has no pixel"),
            (&small, Size::new(8, 0), "a canvas of 8x0 has no pixel"),
            (&small, Size::square(1 << 40), "at most 65536 pixels along a side"),
            (&small, Size::square(1 << 16), "at most 268435456 pixels are drawn as one batch"),
        ] {
            for fit in [Fit::Crop, Fit::Pad] {
                let error = Frame::new(photo, None, size, fit).unwrap_err();
                assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
            }
        }
        let large = photo(40, 30);
        for fit in [Fit::Crop, Fit::Pad] {
            let frame = Frame::new(&large, None, Size::new(16, 8), fit).unwrap();
            let error = frame.picture(&small).unwrap_err().to_string();
            assert!(error.starts_with("the photo has 4x3 pixels, and 40x"), "{error}");
            let error = frame.mask(&mask(4, 3, |_, _| true), 1).unwrap_err().to_string();
            assert!(error.starts_with("the mask has 4x3 pixels, and 40x"), "{error}");
            for drawn in [RgbImage::new(0, 0), RgbImage::new(5, 400)] {
                for (photo, mask) in [(&small, mask(4, 3, |_, _| true)), (&large, mask(2, 2, |_, _| true))] {
                    assert_eq!(frame.put_back(photo, &mask, &drawn, 3).dimensions(), photo.0.dimensions());
                }
            }
        }
    }

    #[test]
    fn masks_follow_their_photo() {
        let photo = photo(40, 20);
        let mask = mask(40, 20, |x, _| x >= 30);
        let frame = Frame::new(&photo, None, Size::new(8, 4), Fit::Crop).unwrap();
        assert_eq!(frame.mask(&mask, 0).unwrap().f32()[..8], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        let fading = frame.mask(&mask, 10).unwrap();
        assert_eq!(fading.f32()[..8], [0.0, 0.0, 0.0, 0.0, 0.25, 0.25, 1.0, 1.0]);
        // Padded to a square, above and below as at the edges.
        let frame = Frame::new(&photo, None, Size::square(4), Fit::Pad).unwrap();
        assert_eq!(frame.mask(&mask, 0).unwrap().f32(), [0.0, 0.0, 0.0, 1.0].repeat(4));
    }
}
