//! Files of pictures, PNG, JPEG or WebP, as upright 8-bit RGB; and masks as which pixels they mark.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use crate::size::{MOST_SIDE, elements};
use crate::{Error, Refusal, Result, Size, Tensor};

/// The most pixels of a picture that is read: more than a side of 10,000 each way.
pub(super) const MOST_PIXELS: u64 = 1 << 27;
/// The most bytes of what a decoder gives, which has at most 8 for each pixel.
const MOST_BYTES: u64 = 8 * MOST_PIXELS;
/// A file smaller than this may take no more than [`MOST_OF_SMALL`] bytes of memory: few kilobytes can claim any size.
const SMALL: usize = 1 << 20;
const MOST_OF_SMALL: u64 = 1 << 30;

/// The most pixels that a byte of such a file may stand for: a header that claims more has no pixels behind it.
fn most_pixels_a_byte(format: ImageFormat) -> u64 {
    match format {
        // At least a bit a pixel, and deflate makes at most 1032 bits of one.
        ImageFormat::Png => 8 * 1032,
        // At least a bit for the tone of each block of 8x8.
        ImageFormat::Jpeg => 8 * 64,
        // WebP takes no bit at all for what is of one colour.
        _ => u64::MAX,
    }
}

/// A picture as it should be looked at: turned upright, without transparency, 8 bits a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo(pub RgbImage);

/// Which pixels of a picture are drawn anew: those of 128 and above.
#[derive(Clone, Debug, PartialEq)]
pub struct PhotoMask(pub GrayImage);

impl Photo {
    /// The picture in `bytes`, the content of `file`: PNG, JPEG or WebP, of any depth. What is transparent lies on
    /// white.
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Self> {
        Ok(Self(over(decode(file, bytes)?, 255)))
    }

    /// Its size.
    pub fn size(&self) -> Size {
        Size::new(self.0.width() as usize, self.0.height() as usize)
    }
}

impl PhotoMask {
    /// The mask in `bytes`, the content of `file`: white where the picture is drawn anew. What is transparent is kept.
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Self> {
        Ok(Self(DynamicImage::from(over(decode(file, bytes)?, 0)).into_luma8()))
    }

    /// The mask, if it has the size of `photo`.
    pub fn of(self, photo: &Photo) -> Result<Self> {
        let given = Size::new(self.0.width() as usize, self.0.height() as usize);
        match photo.size() {
            wanted if wanted != given => Err(Refusal::OtherSize { what: "the mask", given, wanted }.into()),
            _ => Ok(self),
        }
    }

    /// The mask of a picture that is known by its latents alone, `[H, W]`: 1 where it is drawn anew.
    pub fn tensor(&self) -> Result<Tensor> {
        let (width, height) = self.0.dimensions();
        let marks = (0..height).flat_map(|y| (0..width).map(move |x| f32::from(u8::from(self.marks(x, y)))));
        Tensor::new(&[height as usize, width as usize], marks.collect())
    }

    /// Whether a pixel is drawn anew.
    pub fn marks(&self, x: u32, y: u32) -> bool {
        self.0.get_pixel(x, y).0[0] >= 128
    }

    /// The smallest box around what it marks: left, top, and behind the last column and row. None where it marks
    /// nothing.
    pub fn bounds(&self) -> Option<[u32; 4]> {
        let mut bounds: Option<[u32; 4]> = None;
        for (x, y, _) in self.0.enumerate_pixels().filter(|(x, y, _)| self.marks(*x, *y)) {
            let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
            bounds = Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]);
        }
        bounds
    }
}

/// The picture upright, on a ground of this grey.
fn over((picture, orientation): (DynamicImage, Orientation), ground: u32) -> RgbImage {
    // Turning makes a copy: of what is smallest.
    let mut picture = DynamicImage::from(flat(picture, ground));
    picture.apply_orientation(orientation);
    picture.into_rgb8()
}

fn flat(picture: DynamicImage, ground: u32) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        image::Rgb([r, g, b].map(|channel| ((channel * alpha + ground * (255 - alpha) + 127) / 255) as u8))
    })
}

/// Refuses a file that does not begin as PNG, JPEG and WebP do. Its first 16 bytes, `head`, suffice to ask before the rest
/// is read.
pub fn check_head(file: &str, head: &[u8]) -> Result<()> {
    format(file, head).map(|_| ())
}

fn format(file: &str, bytes: &[u8]) -> Result<ImageFormat> {
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => Ok(format),
        _ => Err(Error::file(file, "it is no picture in PNG, JPEG or WebP")),
    }
}

/// A picture file, and how it is turned upright. Its size is checked before its pixels take memory.
fn decode(file: &str, bytes: &[u8]) -> Result<(DynamicImage, Orientation)> {
    let failed = |error: ImageError| match error {
        // Where addresses have 32 bits, decoders are the first to find it out.
        ImageError::Limits(_) => too_large(format!("{file}: a picture")),
        error => Error::file(file, format!("it cannot be read as a picture: {error}")),
    };
    let format = format(file, bytes)?;
    if format == ImageFormat::Png && !has_whole_colours(bytes) {
        return Err(Error::file(file, "it cannot be read as a picture: its palette ends within a colour"));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE as u32), Some(MOST_SIDE as u32));
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = elements(&[width as usize, height as usize]);
    if pixels > MOST_PIXELS {
        return Err(too_large(format!("{file}: a picture of {width}x{height}")));
    }
    if pixels / most_pixels_a_byte(format) > bytes.len() as u64 {
        return Err(Error::file(file, format!("it is cut short: {width}x{height} pixels do not lie in it")));
    }
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(Error::file(file, "it is cut short: the end of the JPEG is missing"));
    }
    let bytes_taken = takes(format, decoder.color_type(), pixels);
    if bytes.len() < SMALL && bytes_taken > MOST_OF_SMALL {
        let what = format!("{file}: a picture of {width}x{height} in {} bytes", bytes.len());
        return Err(Refusal::TooLarge {
            what,
            most: MOST_OF_SMALL,
            unit: "bytes of memory are taken for so small a file",
        }
        .into());
    }
    room(file, bytes_taken)?;
    let orientation = decoder.orientation().map_err(failed)?;
    Ok((DynamicImage::from_decoder(decoder).map_err(failed)?, orientation))
}

/// The bytes of memory that a picture takes on its way to upright RGB.
fn takes(format: ImageFormat, color: ColorType, pixels: u64) -> u64 {
    let within = match format {
        ImageFormat::Png => 0,
        // The coefficients of a progressive one: three of two bytes.
        ImageFormat::Jpeg => 6,
        // A frame of its own.
        _ => 4,
    };
    let flat = match color {
        ColorType::Rgb8 => 0,
        // By way of RGBA.
        ColorType::La8 | ColorType::La16 | ColorType::Rgba16 => 4 + 3,
        _ => 3,
    };
    let turned = 3;
    pixels.saturating_mul(u64::from(color.bytes_per_pixel()) + within + flat + turned)
}

fn too_large(what: String) -> Error {
    Refusal::TooLarge { what, most: MOST_PIXELS, unit: "pixels are read" }.into()
}

/// Fails where there is no room for so many bytes. Decoders merely take theirs, and where there is none the program ends:
/// in a browser a module has 4 GiB at most.
fn room(file: &str, bytes: u64) -> Result<()> {
    let room = usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    if room { Ok(()) } else { Err(Error::OutOfMemory(format!("reading {file}, which takes {bytes} bytes"))) }
}

/// Whether the palette of a PNG has three bytes for each colour. The decoder (png 0.18.1) panics over one that has not.
fn has_whole_colours(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    // A chunk is a length, a name, so many bytes, and a checksum.
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length);
        if after.starts_with(b"PLTE") && !length.is_multiple_of(3) {
            return false;
        }
        rest = after.get((length as usize).saturating_add(8)..).unwrap_or_default();
    }
    true
}

/// Whether the marker that ends a JPEG comes after its last scan. The decoder would fill what is missing with grey.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2; // behind the marker that begins it
    loop {
        // Markers are 0xff and a kind. Within a scan, 0xff is followed by 0 or by a restart marker.
        match bytes.get(at..at + 2) {
            None => return false,
            Some(&[0xff, 0xd9]) => return true,
            Some(&[0xff, 0xff]) => at += 1,
            Some(&[0xff, 0x00 | 0x01 | 0xd0..=0xd7]) => at += 2,
            Some(&[0xff, _]) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            Some(_) => at += 1, // within a scan; between segments decoders pass it over, too
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Luma, LumaA, Rgb, Rgba};

    use super::*;

    fn bytes(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn png(picture: impl Into<DynamicImage>) -> Photo {
        Photo::decode("p.png", &bytes(&picture.into(), ImageFormat::Png)).unwrap()
    }

    #[test]
    fn depth_grey_and_transparency_become_rgb() {
        let rgb = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 80, 7]));
        assert_eq!(png(rgb.clone()).0, rgb);
        let pixel = |photo: Photo| photo.0.get_pixel(0, 0).0;
        let deep = image::ImageBuffer::from_pixel(2, 2, Rgb([65535u16, 32896, 0]));
        assert_eq!(pixel(png(DynamicImage::ImageRgb16(deep))), [255, 128, 0]);
        assert_eq!(pixel(png(GrayImage::from_pixel(2, 2, Luma([99])))), [99; 3]);
        assert_eq!(pixel(png(image::RgbaImage::from_pixel(2, 2, Rgba([0, 100, 255, 0])))), [255; 3]);
        assert_eq!(pixel(png(image::RgbaImage::from_pixel(2, 2, Rgba([0, 100, 255, 255])))), [0, 100, 255]);
        let half = image::ImageBuffer::from_pixel(2, 2, LumaA([0u8, 128]));
        assert_eq!(pixel(png(DynamicImage::ImageLumaA8(half))), [127; 3]);
    }

    /// Exif says that the camera was turned: a JPEG whose first row is the picture's right-most column.
    #[test]
    fn turned_pictures_are_read_upright() {
        let stored = RgbImage::from_fn(16, 8, |x, _| if x < 8 { Rgb([250, 10, 10]) } else { Rgb([10, 10, 250]) });
        let mut jpeg = bytes(&stored.into(), ImageFormat::Jpeg);
        // Orientation 6, "rotate 90° clockwise", as an APP1 segment behind the start of the image.
        let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        jpeg.splice(2..2, exif.iter().copied());
        let photo = Photo::decode("p.jpg", &jpeg).unwrap();
        assert_eq!(photo.size(), Size::new(8, 16));
        let (top, bottom) = (photo.0.get_pixel(4, 2).0, photo.0.get_pixel(4, 13).0);
        assert!(top[0] > 200 && top[2] < 60 && bottom[2] > 200 && bottom[0] < 60, "{top:?} {bottom:?}");
    }

    /// Small in the file, as masks are: a bit a pixel, and most of them alike.
    #[test]
    fn a_mask_of_single_bits_is_read() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2048, 2048);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.set_compression(png::Compression::High);
        let mut rows = vec![0; 2048 * 2048 / 8];
        rows[0] = 0b0100_0000;
        encoder.write_header().unwrap().write_image_data(&rows).unwrap();
        assert!(bytes.len() < 4096, "{} bytes", bytes.len());
        assert_eq!(PhotoMask::decode("m.png", &bytes).unwrap().bounds(), Some([1, 0, 2, 1]));
        // A layer without a stroke marks nothing.
        let layer = self::bytes(&image::RgbaImage::from_pixel(4, 4, Rgba([255, 255, 255, 0])).into(), ImageFormat::Png);
        assert_eq!(PhotoMask::decode("m.png", &layer).unwrap().bounds(), None);
    }

    #[test]
    fn a_jpeg_that_is_cut_short_is_refused() {
        let picture = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * y) as u8, (x * 7) as u8, (y * 9) as u8]));
        let whole = bytes(&picture.into(), ImageFormat::Jpeg);
        Photo::decode("p.jpg", &whole).unwrap();
        // What follows the end, as cameras write it, is nobody's business.
        Photo::decode("p.jpg", &[&whole, &b"\xff\xda\x00 more"[..]].concat()).unwrap();
        for length in [whole.len() / 2, whole.len() - 2, whole.len() - 1] {
            let error = Photo::decode("p.jpg", &whole[..length]).unwrap_err().to_string();
            assert!(error.contains("p.jpg: it is cut short: the end of the JPEG is missing"), "{length}: {error}");
        }
        for length in 0..whole.len() {
            assert!(Photo::decode("p.jpg", &whole[..length]).is_err(), "{length}");
        }
    }

    /// Of some hundred bytes, which a decoder would fill up with grey for a minute.
    #[test]
    fn a_jpeg_that_claims_more_than_it_has_is_refused() {
        let mut jpeg = bytes(&RgbImage::new(64, 64).into(), ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        for side in [8_000u16, 65_500] {
            jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
            jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
            let error = Photo::decode("p.jpg", &jpeg).unwrap_err().to_string();
            let short = error == format!("p.jpg: it is cut short: {side}x{side} pixels do not lie in it");
            assert!(short || error.contains("too large: at most 134217728 pixels"), "{error}");
        }
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let good = bytes(&RgbImage::new(20, 20).into(), ImageFormat::Png);
        for (bytes, reason) in [
            (&b"GIF89a"[..], "p.png: it is no picture in PNG, JPEG or WebP"),
            (b"", "it is no picture"),
            (&good[..good.len() / 2], "it cannot be read as a picture"),
            (&good[..20], "it cannot be read as a picture"),
        ] {
            let error = Photo::decode("p.png", bytes).unwrap_err().to_string();
            assert!(error.contains(reason) && error.lines().count() == 1, "{error}");
        }
        check_head("p.png", &good[..16]).unwrap();
        let error = check_head("p.png", b"GIF89a").unwrap_err().to_string();
        assert_eq!(error, "p.png: it is no picture in PNG, JPEG or WebP");
        // A header alone, which claims more pixels than anyone has.
        let mut huge = good.clone();
        for (side, reason) in [(60_000u32, "too large: at most 134217728 pixels"), (10_000, "it is cut short")] {
            huge[16..20].copy_from_slice(&side.to_be_bytes());
            huge[20..24].copy_from_slice(&side.to_be_bytes());
            let crc = crc(&huge[12..29]).to_be_bytes();
            huge[29..33].copy_from_slice(&crc);
            let error = Photo::decode("p.png", &huge).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_palette_that_ends_within_a_colour_is_refused() {
        let chunk = |name: &[u8], data: &[u8]| {
            let named = [name, data].concat();
            [&(data.len() as u32).to_be_bytes(), &named[..], &crc(&named).to_be_bytes()].concat()
        };
        // One pixel of 8 bits, the first of the palette, stored without compression.
        let head = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
        let pixel = chunk(b"IDAT", &[0x78, 1, 1, 2, 0, 0xfd, 0xff, 0, 0, 0, 2, 0, 1]);
        for length in 1..=7 {
            let palette = chunk(b"PLTE", &vec![9; length]);
            let png = [&b"\x89PNG\r\n\x1a\n"[..], &head, &palette, &pixel, &chunk(b"IEND", b"")].concat();
            match (length % 3, Photo::decode("p.png", &png)) {
                (0, photo) => assert_eq!(photo.unwrap().0.get_pixel(0, 0).0, [9; 3]),
                (_, photo) => {
                    let error = photo.unwrap_err().to_string();
                    assert_eq!(error, "p.png: it cannot be read as a picture: its palette ends within a colour");
                }
            }
        }
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        room("p.png", 1 << 10).unwrap();
        let error = room("p.png", u64::MAX).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory(_)) && error.to_string().contains("reading p.png"), "{error}");
    }

    /// The checksum of a PNG's chunk.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }

    #[test]
    fn a_mask_is_of_its_photos_size() {
        let photo = Photo(RgbImage::new(6, 4));
        let mut grey = GrayImage::new(6, 4);
        grey.put_pixel(2, 1, Luma([128]));
        grey.put_pixel(4, 3, Luma([255]));
        grey.put_pixel(0, 0, Luma([127]));
        let mask = PhotoMask::decode("m.png", &bytes(&grey.into(), ImageFormat::Png)).unwrap().of(&photo).unwrap();
        assert!(mask.marks(2, 1) && !mask.marks(0, 0));
        assert_eq!(mask.bounds(), Some([2, 1, 5, 4]));
        assert_eq!(PhotoMask(GrayImage::new(6, 4)).bounds(), None);
        let other = bytes(&GrayImage::new(4, 6).into(), ImageFormat::Png);
        let error = PhotoMask::decode("m.png", &other).unwrap().of(&photo).unwrap_err().to_string();
        assert_eq!(error, "the mask has 4x6 pixels, and 6x4 are needed");
    }
}
