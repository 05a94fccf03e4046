//! A picture of a stranger: the text that it carries, for `generate --like`; and its pixels and a mask, for `--image`.

use std::sync::OnceLock;

use foveate::compress::Policies;
use foveate::photo::{Fit, Frame, Photo, PhotoMask};
use foveate::{Compression, Request, Size};
use foveate_studio::{About, Origin};
use image::RgbImage;
use tempfile::NamedTempFile;

use crate::outcome;

pub fn run(data: &[u8]) {
    pixels(data);
    static FILE: OnceLock<Option<NamedTempFile>> = OnceLock::new();
    let file = FILE.get_or_init(|| NamedTempFile::new().ok()).as_ref().map(NamedTempFile::path);
    let Some(path) = file.filter(|path| std::fs::write(path, data).is_ok()) else { panic!("no file can be written") };
    match Origin::read(path) {
        Err(error) => outcome::failed(&error),
        Ok(Origin { request, .. }) => {
            let checked = request.check().and_then(|()| Policies::default().check(&request.compression));
            match checked {
                Ok(()) => outcome::reached("a request"),
                Err(error) => outcome::failed(&error),
            }
        }
    }
}

/// The picture as one to begin with, and as the mask of itself.
fn pixels(data: &[u8]) {
    let read = Photo::decode("a picture", data).and_then(|photo| {
        let mask = PhotoMask::decode("a mask", data)?.of(&photo)?;
        let frame = Frame::new(&photo, Some(&mask), Size::new(24, 16), Fit::Crop)?;
        frame.picture(&photo)?;
        frame.mask(&mask, u32::from(mask.marks(0, 0))).map(drop)
    });
    match read {
        Ok(()) => outcome::reached("pixels"),
        Err(error) => outcome::failed(&error),
    }
}

/// Pictures as the program writes them, and one whose text is compressed.
pub fn seeds() -> Vec<Vec<u8>> {
    let picture = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 200]));
    let asked = Request {
        size: Some(Size::new(96, 64)),
        steps: Some(20),
        guidance: Some(4.5),
        compression: Compression { ratio: Some(0.4), ..Compression::policy("sdtm").with("multiple", 1) },
        ..Request::prompt("a red fox")
    };
    let mut seeds = Vec::new();
    for request in [asked, Request::class(3), Request::prompt("ein Haus über dem Fluß 🏠")] {
        let origin = Origin::new(&request, "scenes", None, "DDIMScheduler");
        let text = serde_json::to_string(&origin).unwrap_or_default();
        let about = About { origin, text: vec![("prompt", request.prompt.clone())] };
        seeds.extend(about.png(&picture, 0, &[]).ok());
        seeds.extend(compressed(&text).ok());
    }
    seeds
}

fn compressed(text: &str) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    let mut chunk = png::text_metadata::ITXtChunk::new("foveate", text);
    chunk.compress_text()?;
    encoder.add_itxt_chunk("note".to_owned(), "x".to_owned())?;
    let mut writer = encoder.write_header()?;
    writer.write_text_chunk(&chunk)?;
    writer.write_image_data(&[0])?;
    writer.finish()?;
    Ok(bytes)
}
