//! The picture that a drawing begins with: read before the work, put on the canvas that the model draws on, and what
//! was drawn put back into it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use foveate::low_level::pipeline::Parts;
use foveate::photo::{Frame, Photo, PhotoMask};
use foveate::{Context, Error, Pictures, Request, Result};
use image::RgbImage;

use super::args::Generate;

/// The most bytes of a picture file.
const MOST_BYTES: u64 = 1 << 30;

/// What `--image` and `--mask` hold.
#[derive(Debug, Default)]
pub struct Original {
    photo: Option<Photo>,
    mask: Option<PhotoMask>,
    feather: u32,
    /// Where the photo lies on the canvas, once that is known.
    frame: Option<Frame>,
}

impl Original {
    /// Reads the files that `options` name.
    pub fn read(options: &Generate) -> Result<Self> {
        let photo = options.image.as_deref().map(|path| Photo::decode(&path.display().to_string(), &bytes(path)?));
        let photo = photo.transpose().context(|| "reading --image")?;
        let mask = options.mask.as_deref().map(|path| {
            let mask = PhotoMask::decode(&path.display().to_string(), &bytes(path)?)?;
            match &photo {
                Some(photo) => mask.of(photo),
                None => Ok(mask),
            }
        });
        let mask = mask.transpose().context(|| "reading --mask")?;
        Ok(Self { photo, mask, feather: options.feather.unwrap_or(0), frame: None })
    }

    /// Puts picture and mask into the request, at the size that it asks for or else at one that fits the model.
    pub fn fit(&mut self, options: &Generate, parts: &Parts, request: &mut Request) -> Result<()> {
        let Some(photo) = &self.photo else {
            request.mask = self.mask.as_ref().map(PhotoMask::tensor).transpose()?;
            return Ok(());
        };
        let size = request.size.map_or_else(|| parts.canvas_for(photo.size()), Ok)?;
        let frame = Frame::new(photo, self.mask.as_ref(), size, options.fit.unwrap_or_default());
        request.size = Some(size);
        request.image = Some(frame.picture(photo)?);
        request.mask = self.mask.as_ref().map(|mask| frame.mask(mask)).transpose()?;
        self.frame = Some(frame);
        Ok(())
    }

    /// Picture `index` of what was drawn: with a mask the photo, with its new part in place.
    pub fn finished(&self, pictures: &Pictures, index: usize) -> Result<RgbImage> {
        let drawn = pictures.rgb(index)?;
        Ok(match (&self.photo, &self.frame, &self.mask) {
            (Some(photo), Some(frame), Some(mask)) => frame.put_back(photo, mask, &drawn, self.feather),
            (Some(_), Some(frame), None) => frame.drawn(&drawn),
            _ => drawn,
        })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| Error::io(path, error))?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(Error::file(path.display().to_string(), format!("is larger than {MOST_BYTES} bytes"))),
        false => Ok(bytes),
    }
}
