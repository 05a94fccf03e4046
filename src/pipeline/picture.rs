//! Finished pictures.

use std::path::Path;

use image::RgbImage;

use crate::size::elements;
use crate::{Error, Result, Tensor};

/// A batch of pictures, `[L, 3, H, W]`, each value in 0…1.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures(pub Tensor);

impl Pictures {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.shape.first().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Picture `index` as `[3, H, W]`.
    pub fn planes(&self, index: usize) -> Result<Tensor> {
        let [count, height, width] = self.shape()?;
        if index >= count {
            return Err(Error::shape("pictures", format!("there is no picture {index}")));
        }
        let size = 3 * height * width;
        Tensor::new(&[3, height, width], self.0.f32()[index * size..][..size].to_vec())
    }

    /// Picture `index` as 8-bit RGB, rounded as diffusers does.
    pub fn rgb(&self, index: usize) -> Result<RgbImage> {
        let planes = self.planes(index)?;
        let [_, height, width] = self.shape()?;
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

    /// How many, how high and how wide. A caller may have made them.
    fn shape(&self) -> Result<[usize; 3]> {
        match *self.0.shape {
            [count, 3, height, width] if elements(&self.0.shape) == self.0.f32().len() as u64 => {
                Ok([count, height, width])
            }
            _ => Err(Error::shape("pictures", format!("shape {:?} is no batch of pictures", self.0.shape))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Data;

    #[test]
    fn what_a_caller_made_is_held_against_its_shape() {
        let pictures =
            |shape: &[usize], count| Pictures(Tensor { shape: shape.to_vec(), data: Data::F32(vec![0.5; count]) });
        let two = pictures(&[2, 3, 1, 2], 12);
        assert_eq!((two.len(), two.rgb(1).unwrap().dimensions()), (2, (2, 1)));
        for index in [2, usize::MAX] {
            assert_eq!(two.rgb(index).unwrap_err().to_string(), format!("pictures: there is no picture {index}"));
        }
        for (shape, count) in [(&[][..], 1), (&[1, 1, 1, 2], 2), (&[2, 3, 1, 2], 6), (&[1, 3, usize::MAX, 2], 6)] {
            let error = pictures(shape, count).rgb(0).unwrap_err().to_string();
            assert_eq!(error, format!("pictures: shape {shape:?} is no batch of pictures"));
        }
        assert!(pictures(&[], 1).is_empty());
    }
}
