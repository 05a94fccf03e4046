//! A picture as PNG, with the request that made it as text.

use foveate::{Error, Result};
use image::RgbImage;

/// Encodes `picture` with a text chunk for each key and value.
pub fn png(picture: &RgbImage, text: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(picture, text, &mut bytes).map_err(|error| Error::io("the picture", std::io::Error::other(error)))?;
    Ok(bytes)
}

fn encode(picture: &RgbImage, text: &[(&str, String)], bytes: &mut Vec<u8>) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (key, value) in text {
        // The older chunk, which every viewer reads, knows no more than Latin-1.
        match value.is_ascii() {
            true => encoder.add_text_chunk((*key).into(), value.clone())?,
            false => encoder.add_itxt_chunk((*key).into(), value.clone())?,
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.as_raw())?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_and_text_come_back() {
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 200]));
        let text = [("seed", "7".to_owned()), ("prompt", "ein Haus über dem Fluß 🏠".to_owned())];
        let bytes = png(&picture, &text).unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), picture);
        let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let info = reader.info();
        assert_eq!(info.uncompressed_latin1_text[0].text, "7");
        assert_eq!(info.utf8_text[0].get_text().unwrap(), text[1].1);
    }
}
