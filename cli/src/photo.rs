//! The picture that a drawing begins with: read before the work, put on the canvas that the model draws on, and what
//! was drawn put back into it.

use foveate::low_level::pipeline::Parts;
use foveate::photo::{Frame, Original, PhotoMask};
use foveate::{Context, Pictures, Request, Result};
use foveate_studio::photo;
use image::RgbImage;

use super::args::Generate;

/// What `--image`, `--mask` and `--outpaint` say.
#[derive(Debug)]
pub enum Given {
    /// No picture; perhaps the mask of one that is known by its latents alone.
    Mask(Option<PhotoMask>),
    /// A picture, and where it lies on the canvas once that is known.
    Photo(Box<Original>, Option<Frame>),
}

impl Given {
    /// Reads the files that `options` name.
    pub fn read(options: &Generate) -> Result<Self> {
        let photo = options.image.as_deref().map(photo::photo).transpose().context(|| "reading --image")?;
        let mask = options.mask.as_deref().map(photo::mask).transpose().context(|| "reading --mask")?;
        let Some(photo) = photo else { return Ok(Self::Mask(mask)) };
        let mut original = match options.outpaint {
            Some(border) => Original::outpainted(&photo, mask, border).context(|| "--outpaint")?,
            None => Original::new(photo, mask).context(|| "reading --mask")?,
        };
        original.fit = options.fit.unwrap_or(original.fit);
        original.feather = options.feather.unwrap_or(original.feather);
        Ok(Self::Photo(original.into(), None))
    }

    /// Puts picture and mask into the request, at the size that it asks for or else at one that fits the model.
    pub fn fit(&mut self, parts: &Parts, request: &mut Request) -> Result<()> {
        match self {
            Self::Mask(mask) => request.mask = mask.as_ref().map(PhotoMask::tensor).transpose()?,
            Self::Photo(original, frame) => {
                let size = request.size.map_or_else(|| parts.canvas_for(original.photo().size()), Ok)?;
                *frame = Some(original.begin(request, size)?);
            }
        }
        Ok(())
    }

    /// Picture `index` of what was drawn: with a mask the photo, with its new part in place.
    pub fn finished(&self, pictures: &Pictures, index: usize) -> Result<RgbImage> {
        let drawn = pictures.rgb(index)?;
        Ok(match self {
            Self::Photo(original, Some(frame)) => original.finished(frame, &drawn),
            _ => drawn,
        })
    }
}
