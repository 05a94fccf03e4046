//! What a picture says about itself, as text chunks of its PNG: one for programs, which is enough to draw it again, and
//! some for the people who look at it in a viewer.
//!
//! Pictures are passed on, so what one says is not trusted: it is read within limits, and nothing that it names is
//! opened.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use foveate::low_level::weights::Format;
use foveate::{Error, Request, Result, Run};
use image::RgbImage;
use png::text_metadata::ITXtChunk;
use serde::{Deserialize, Serialize};

/// The chunk for programs.
const KEY: &str = "foveate";
/// The most bytes of that chunk, which is a thousand times what a long prompt needs.
const MOST_TEXT: usize = 1 << 20;
/// The most bytes that all chunks before the pixels may take in memory.
const MOST_CHUNKS: usize = 8 << 20;

/// How a picture came about, as its chunk for programs has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The version of Foveate.
    pub version: String,
    /// What was asked for.
    pub request: Request,
    /// The model's name, without the way to it.
    pub model: String,
    /// How matrices were stored, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Format>,
    /// The class of the scheduler.
    pub scheduler: String,
    /// The picture's place in the batch, from 0.
    pub index: usize,
    /// Pictures of the batch.
    pub count: usize,
    /// The tensors that were given beside the request, and that the picture does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
}

/// What all pictures of a batch say.
#[derive(Clone, Debug)]
pub struct About {
    /// For programs.
    pub origin: Origin,
    /// For people, by name.
    pub text: Vec<(&'static str, String)>,
}

impl Origin {
    /// The origin of the first of the pictures that `request` draws.
    pub fn new(request: &Request, model: &str, dtype: Option<Format>, scheduler: &str) -> Self {
        let given = [
            ("image", request.image.is_some()),
            ("mask", request.mask.is_some()),
            ("image_latents", request.image_latents.is_some()),
            ("init_latents", request.init_latents.is_some()),
            ("prompt_ids", request.prompt_ids.is_some()),
            ("prompt_embeds", request.prompt_embeds.is_some()),
        ];
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            // What is written beside the picture changes nothing in it.
            request: Request {
                traced: false,
                // A picture does not hold them.
                image: None,
                mask: None,
                image_latents: None,
                init_latents: None,
                prompt_ids: None,
                prompt_embeds: None,
                ..request.clone()
            },
            model: model.into(),
            dtype,
            scheduler: scheduler.into(),
            index: 0,
            count: request.pictures(),
            given: given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.into()).collect(),
        }
    }

    /// What the picture in this file says. No pixel is decoded.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::Usage(format!("{}: {reason}", path.display()));
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let text = match chunk(BufReader::new(file)) {
            Ok(text) => text.ok_or_else(|| refuse("the picture does not say how foveate drew it".into()))?,
            Err(error) => return Err(refuse(format!("it cannot be read as PNG: {error}"))),
        };
        if text.len() > MOST_TEXT {
            return Err(refuse(format!("what it says is longer than {MOST_TEXT} bytes")));
        }
        serde_json::from_str(&text).map_err(|error| refuse(format!("what it says is no request: {error}")))
    }
}

impl About {
    /// What the pictures of a run say: enough to draw them again, and for people what the run made of it. `model` is a
    /// name, see [`crate::model::name`].
    pub fn new(request: &Request, model: &str, dtype: Option<Format>, run: &Run) -> Self {
        let compression = &request.compression;
        let set: Vec<String> = compression.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let text = [
            ("prompt", some(request.prompt.clone())),
            ("negative", request.negative.clone()),
            ("class", request.class.map(|class| class.to_string())),
            ("ratio", compression.ratio.map(|ratio| ratio.to_string())),
            ("set", some(set.join(" "))),
            ("step_cache", compression.cache.map(|cache| cache.to_string())),
            ("strength", request.strength.map(|strength| strength.to_string())),
            ("masked", compression.masked.map(|masked| masked.to_string())),
            ("seed", Some(request.seed.to_string())),
            ("steps", Some(run.steps().to_string())),
            ("guidance", Some(run.guidance().unwrap_or(1.0).to_string())),
            ("scheduler", Some(run.scheduler().to_owned())),
            ("size", Some(run.size().to_string())),
            ("model", Some(model.to_owned())),
            ("compress", Some(run.policy().to_owned())),
            ("tuning", run.tuning()),
            ("version", Some(concat!("foveate ", env!("CARGO_PKG_VERSION")).to_owned())),
        ];
        Self {
            origin: Origin::new(request, model, dtype, run.scheduler()),
            text: text.into_iter().filter_map(|(key, text)| Some((key, text?))).collect(),
        }
    }

    /// All that picture `index` of the batch says, by name.
    pub fn said(&self, index: usize) -> Result<Vec<(&'static str, String)>> {
        let origin = serde_json::to_string(&Origin { index, ..self.origin.clone() });
        let mut said = self.text.clone();
        said.push((KEY, origin.map_err(|error| Error::io("the picture", error.into()))?));
        Ok(said)
    }

    /// Encodes picture `index` of the batch, or a map of it, with `more` to say for people.
    pub fn png(&self, picture: &RgbImage, index: usize, more: &[(&str, String)]) -> Result<Vec<u8>> {
        png(picture, &[self.said(index)?.as_slice(), more].concat())
    }
}

/// A picture as PNG that says this, by name.
pub fn png(picture: &RgbImage, said: &[(impl AsRef<str>, String)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoded = encode(picture, said.iter().map(|(key, text)| (key.as_ref(), text.as_str())), &mut bytes);
    encoded.map_err(|error| Error::io("the picture", std::io::Error::other(error)))?;
    Ok(bytes)
}

/// What the picture in this file says for people, by name: as it is, so nothing to rely on. No pixel is decoded.
pub fn words(path: &Path) -> Result<Vec<(String, String)>> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let read = header(BufReader::new(file)).map(|reader| {
        let plain = reader.info().uncompressed_latin1_text.iter().map(|chunk| (&chunk.keyword, Ok(chunk.text.clone())));
        let wide = reader.info().utf8_text.iter().map(|chunk| (&chunk.keyword, unpacked(chunk)));
        let said = plain.chain(wide).filter(|(key, _)| *key != KEY);
        said.map(|(key, text)| Ok((key.clone(), text?))).collect::<Result<_, png::DecodingError>>()
    });
    let refuse = |error| Error::Usage(format!("{}: it cannot be read as PNG: {error}", path.display()));
    read.and_then(|words| words).map_err(refuse)
}

fn encode<'a>(
    picture: &RgbImage,
    text: impl Iterator<Item = (&'a str, &'a str)>,
    bytes: &mut Vec<u8>,
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (key, value) in text {
        // The older chunk, which every viewer reads, knows no more than Latin-1.
        match value.is_ascii() {
            true => encoder.add_text_chunk(key.into(), value.into())?,
            false => encoder.add_itxt_chunk(key.into(), value.into())?,
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.as_raw())?;
    writer.finish()
}

/// All chunks before the pixels.
fn header(file: BufReader<File>) -> Result<png::Reader<BufReader<File>>, png::DecodingError> {
    let mut options = png::DecodeOptions::default();
    options.set_skip_ancillary_crc_failures(false); // a damaged request is not one
    options.set_ignore_iccp_chunk(true);
    let mut decoder = png::Decoder::new_with_options(file, options);
    decoder.set_limits(png::Limits { bytes: MOST_CHUNKS });
    decoder.read_info()
}

/// The chunk for programs, of those before the pixels.
fn chunk(file: BufReader<File>) -> Result<Option<String>, png::DecodingError> {
    let reader = header(file)?;
    let info = reader.info();
    if let Some(chunk) = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == KEY) {
        return Ok(Some(chunk.text.clone()));
    }
    info.utf8_text.iter().find(|chunk| chunk.keyword == KEY).map(unpacked).transpose()
}

/// The text of a chunk, which a thousandth of its bytes may stand for.
fn unpacked(chunk: &ITXtChunk) -> Result<String, png::DecodingError> {
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(MOST_TEXT)?;
    chunk.get_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(prompt: &str) -> About {
        let origin = Origin::new(&Request::prompt(prompt), "scenes", Some(Format::F16), "DDIMScheduler");
        About { origin, text: vec![("seed", "7".to_owned()), ("prompt", prompt.to_owned())] }
    }

    #[test]
    fn pixels_and_text_come_back() {
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 200]));
        for prompt in ["ein Haus über dem Fluß 🏠", "a house"] {
            let about = about(prompt);
            let bytes = about.png(&picture, 2, &[("map", "sheet".into())]).unwrap();
            assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), picture);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            assert_eq!(Origin::read(file.path()).unwrap(), Origin { index: 2, ..about.origin });
            let said = [("seed", "7"), ("prompt", prompt), ("map", "sheet")];
            let mut words = words(file.path()).unwrap();
            words.sort_by_key(|(key, _)| said.iter().position(|(known, _)| known == key));
            assert_eq!(words, said.map(|(key, text)| (key.to_owned(), text.to_owned())));
            let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
            let info = reader.info();
            let plain: Vec<_> = info.uncompressed_latin1_text.iter().map(|chunk| chunk.keyword.as_str()).collect();
            assert!(plain.contains(&"seed") && plain.contains(&"map"), "{plain:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let picture = RgbImage::new(1, 1);
        for (letters, reason) in [(MOST_TEXT, "longer than 1048576 bytes"), (MOST_CHUNKS, "limits are exceeded")] {
            let mut about = about("");
            about.origin.model = "m".repeat(letters);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), about.png(&picture, 0, &[]).unwrap()).unwrap();
            let error = Origin::read(file.path()).unwrap_err();
            assert!(error.is_usage() && error.to_string().ends_with(reason), "{error}");
        }
    }

    /// A chunk of some kilobytes that would take gigabytes.
    #[test]
    fn what_is_packed_is_unpacked_within_limits() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for keyword in [KEY, "note"] {
            let mut chunk = ITXtChunk::new(keyword, "x".repeat(2 * MOST_CHUNKS));
            chunk.compress_text().unwrap();
            let mut encoder = png::Encoder::new(File::create(file.path()).unwrap(), 1, 1);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header().unwrap();
            writer.write_text_chunk(&chunk).unwrap();
            writer.write_image_data(&[0; 3]).unwrap();
            writer.finish().unwrap();
            let refused = match keyword {
                KEY => Origin::read(file.path()).unwrap_err(),
                _ => words(file.path()).unwrap_err(),
            };
            assert!(refused.is_usage() && refused.to_string().contains("it cannot be read as PNG"), "{refused}");
        }
    }
}
