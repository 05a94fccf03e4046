//! A photo that a drawing begins with: what a request takes from it, and what was drawn put back into it.

use image::RgbImage;

use super::border::Bordered;
use super::{Border, Fit, Frame, Photo, PhotoMask};
use crate::{Request, Result, Size};

/// A photo, and what becomes of it. Without a mask all of it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Original {
    photo: Photo,
    mask: Option<PhotoMask>,
    /// How the photo is fitted to the canvas.
    pub fit: Fit,
    /// Pixels around the mask over which what was drawn fades into the photo.
    pub feather: u32,
}

impl Original {
    /// Refuses a mask of another size than the photo's.
    pub fn new(photo: Photo, mask: Option<PhotoMask>) -> Result<Self> {
        let mask = mask.map(|mask| mask.of(&photo)).transpose()?;
        Ok(Self { photo, mask, fit: Fit::default(), feather: 0 })
    }

    /// Outpainting: the photo within a border that is drawn anew, as is what the mask marks. The border begins as the
    /// photo's edge, repeated. All of it is shown on the canvas. Refuses a mask of another size than the photo's, a
    /// border without a pixel, and a picture that would be too large.
    pub fn outpainted(photo: &Photo, mask: Option<PhotoMask>, border: Border) -> Result<Self> {
        let mask = mask.map(|mask| mask.of(photo)).transpose()?;
        let Bordered { photo, mask } = border.around(photo, mask.as_ref())?;
        Ok(Self { fit: Fit::Pad, ..Self::new(photo, Some(mask))? })
    }

    /// The photo. An outpainted one has its border.
    pub fn photo(&self) -> &Photo {
        &self.photo
    }

    /// What is drawn anew.
    pub fn mask(&self) -> Option<&PhotoMask> {
        self.mask.as_ref()
    }

    /// Has `request` begin with the photo on a canvas of `size`, and returns where it lies there. A size that suits a
    /// model is [`Pipeline::canvas_for`](crate::Pipeline::canvas_for) that of the photo. See [`Frame::new`].
    pub fn begin(&self, request: &mut Request, size: Size) -> Result<Frame> {
        let frame = Frame::new(&self.photo, self.mask.as_ref(), size, self.fit)?;
        request.size = Some(size);
        request.image = Some(frame.picture(&self.photo)?);
        request.mask = self.mask.as_ref().map(|mask| frame.mask(mask, self.feather)).transpose()?;
        Ok(frame)
    }

    /// What was drawn on the canvas, as it is kept. With a mask that is the photo at its own size with its new part in
    /// place; without one it is the canvas, but for what the photo does not cover.
    pub fn finished(&self, frame: &Frame, canvas: &RgbImage) -> RgbImage {
        match &self.mask {
            Some(mask) => frame.put_back(&self.photo, mask, canvas, self.feather),
            None => frame.drawn(canvas),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb};

    use super::*;

    #[test]
    fn a_request_begins_with_the_photo_and_the_photo_gets_its_new_part() {
        let photo = Photo(RgbImage::from_pixel(8, 4, Rgb([9, 9, 9])));
        let mut mask = GrayImage::new(8, 4);
        mask.put_pixel(5, 2, Luma([255]));
        let original = Original::new(photo.clone(), Some(PhotoMask(mask))).unwrap();
        let mut request = Request::prompt("a fox");
        let frame = original.begin(&mut request, Size::square(4)).unwrap();
        assert_eq!(request.size, Some(Size::square(4)));
        assert_eq!(request.image.unwrap().shape, [3, 4, 4]);
        assert_eq!(request.mask.unwrap().f32().iter().sum::<f32>(), 1.0);
        let drawn = RgbImage::from_pixel(4, 4, Rgb([200, 0, 0]));
        let finished = original.finished(&frame, &drawn);
        assert_eq!(finished.dimensions(), (8, 4));
        let changed: Vec<_> =
            finished.enumerate_pixels().filter(|(.., p)| p.0 != [9; 3]).map(|(x, y, _)| (x, y)).collect();
        assert_eq!(changed, [(5, 2)]);

        let whole = Original::new(photo.clone(), None).unwrap();
        let frame = whole.begin(&mut Request::prompt("a fox"), Size::square(4)).unwrap();
        assert_eq!(whole.finished(&frame, &drawn), drawn);
        let error = Original::new(photo, Some(PhotoMask(GrayImage::new(4, 8)))).unwrap_err().to_string();
        assert!(error.contains("the mask"), "{error}");
    }

    /// Of another ratio than the canvas: still no pixel of the border is left as it was.
    #[test]
    fn an_outpainted_photo_is_the_photo_with_all_of_its_border_drawn() {
        let photo = Photo(RgbImage::from_pixel(8, 4, Rgb([9, 9, 9])));
        let original = Original::outpainted(&photo, None, "3,0,0,25%".parse().unwrap()).unwrap();
        assert_eq!((original.photo().size(), original.fit), (Size::new(11, 5), Fit::Pad));
        let frame = original.begin(&mut Request::prompt("a fox"), Size::square(4)).unwrap();
        let finished = original.finished(&frame, &RgbImage::from_pixel(4, 4, Rgb([200, 0, 0])));
        for (x, y, pixel) in finished.enumerate_pixels() {
            let drawn = x < 3 || y > 3;
            assert_eq!(pixel.0, if drawn { [200, 0, 0] } else { [9; 3] }, "({x}, {y})");
        }
        let other = PhotoMask(GrayImage::new(4, 8));
        assert!(Original::outpainted(&photo, Some(other), "1,1,1,1".parse().unwrap()).is_err());
    }
}
