//! Pictures as small as they are shown. The window works on these alone, so that no picture is too large for a frame or
//! for a texture: the threads of engine and disk make them.

use image::RgbImage;
use image::imageops::thumbnail;

/// The longer side of a picture in the history's strip, at most.
pub const THUMBNAIL: u32 = 160;
/// The longer side of a picture that is shown whole, at most: every graphics driver has textures of this size.
pub const SHOWN: u32 = 2048;

/// A size of the same ratio, whose longer side is `most` at most.
pub fn within(most: u32, (width, height): (u32, u32)) -> (u32, u32) {
    let longer = width.max(height).max(1);
    if longer <= most {
        return (width, height);
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(most) / u64::from(longer)).max(1) as u32;
    (scaled(width), scaled(height))
}

/// The picture, its longer side `most` at most.
pub fn shrunk(most: u32, picture: RgbImage) -> RgbImage {
    match small(most, &picture) {
        Some(small) => small,
        None => picture,
    }
}

/// The same of a picture that is kept: none where it is that small already.
pub fn small(most: u32, picture: &RgbImage) -> Option<RgbImage> {
    let (width, height) = within(most, picture.dimensions());
    ((width, height) != picture.dimensions()).then(|| thumbnail(picture, width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_keep_their_ratio_and_small_ones_are_as_they_are() {
        for (most, size, expected) in [
            (160, (320, 200), (160, 100)),
            (160, (160, 20), (160, 20)),
            (2048, (90_000, 3), (2048, 1)),
            (2048, (1, 4096), (1, 2048)),
            (160, (0, 0), (0, 0)),
        ] {
            assert_eq!(within(most, size), expected);
        }
        let picture = RgbImage::from_fn(40, 20, |x, _| image::Rgb([6 * x as u8; 3]));
        assert_eq!(shrunk(40, picture.clone()), picture);
        assert_eq!(shrunk(10, picture).dimensions(), (10, 5));
    }
}
