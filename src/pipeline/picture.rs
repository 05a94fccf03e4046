//! Finished pictures.

use std::path::Path;

use image::RgbImage;

use crate::{Error, Result, Tensor};

/// A batch of pictures, `[L, 3, H, W]`, each value in 0…1.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures(pub Tensor);

impl Pictures {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.shape[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Picture `index` as `[3, H, W]`.
    pub fn planes(&self, index: usize) -> Result<Tensor> {
        let [_, c, h, w] = self.shape()?;
        let size = c * h * w;
        let values = self.0.f32().get(index * size..(index + 1) * size);
        let values = values.ok_or_else(|| Error::shape("pictures", format!("there is no picture {index}")))?;
        Tensor::new(&[c, h, w], values.to_vec())
    }

    /// Picture `index` as 8-bit RGB, rounded as diffusers does.
    pub fn rgb(&self, index: usize) -> Result<RgbImage> {
        let planes = self.planes(index)?;
        let [_, _, height, width] = self.shape()?;
        let values = planes.f32();
        Ok(RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            image::Rgb([0, 1, 2].map(|c| (values[c * height * width + at] * 255.0).round_ties_even() as u8))
        }))
    }

    /// Writes picture `index` as a PNG file.
    pub fn save(&self, index: usize, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.rgb(index)?.save_with_format(path, image::ImageFormat::Png).map_err(|error| match error {
            image::ImageError::IoError(error) => Error::io(path, error),
            other => Error::file(path.display().to_string(), other.to_string()),
        })
    }

    fn shape(&self) -> Result<[usize; 4]> {
        let shape: Result<[usize; 4], _> = self.0.shape.as_slice().try_into();
        shape.map_err(|_| Error::shape("pictures", format!("shape {:?} is no batch of pictures", self.0.shape)))
    }
}
