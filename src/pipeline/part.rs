//! Where only a part of a picture is drawn anew, only that part of the latents is decoded: rectangles around what the
//! mask marks, with a halo. The rest of the picture is the one that was given, and over the halo the one fades into the
//! other, so that no edge of a rectangle shows.

use crate::area::{Area, steps_away};
use crate::compress::Decode;
use crate::models::Canvas;
use crate::{Request, Result, Size, Tensor};

/// What of the pictures is decoded, and what surrounds it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// `[3, H, W]`.
    image: Tensor,
    /// In latent pixels.
    pub areas: Vec<Area>,
    /// Of every pixel of the picture, how much of it is what was decoded.
    share: Vec<f32>,
    size: Size,
    factor: usize,
}

/// The most of the latents that is decoded as a part, in percent: beyond it the whole costs little more, and is exact. Of
/// small latents the sample is a large share, and the whole costs no more from about a half on (docs/results.md).
const MOST_PERCENT: usize = 75;

impl Part {
    /// What of a request's pictures is decoded; none where all of them are. `factor` is the number of pixels per
    /// latent pixel.
    pub fn of(request: &Request, canvas: Canvas, factor: usize) -> Option<Self> {
        let Decode::Halo(halo) = request.compression.masked?.decode else { return None };
        let (image, mask) = (request.image.as_ref()?, request.mask.as_ref()?);
        let Canvas { pixels: size, latents, .. } = canvas;
        let marked = touched(mask, latents, factor);
        let areas = Area::around(latents, &marked, halo);
        if 100 * areas.iter().map(Area::count).sum::<usize>() > MOST_PERCENT * latents.width * latents.height {
            return None;
        }
        let fading = u32::try_from(halo.saturating_mul(factor)).unwrap_or(u32::MAX).saturating_add(1);
        let away = steps_away(size, |x, y| marked[y / factor * latents.width + x / factor], fading);
        let share = away.into_iter().map(|away| 1.0 - away as f32 / fading as f32).collect();
        Some(Self { image: image.clone(), areas, share, size, factor })
    }

    /// The pictures `[count, 3, H, W]`: `decoded` has `[count, 3, h, w]` of every area.
    pub fn composed(&self, decoded: &[Tensor], count: usize) -> Result<Tensor> {
        let Size { width, height } = self.size;
        let mut pictures = self.image.f32().repeat(count);
        for (area, decoded) in self.areas.iter().map(|area| area.times(self.factor)).zip(decoded) {
            let planes = decoded.f32().chunks_exact(area.count().max(1)).zip(pictures.chunks_exact_mut(width * height));
            for (new, plane) in planes {
                for (row, new) in area.rows.clone().zip(new.chunks_exact(area.columns.len().max(1))) {
                    let line = row * width + area.columns.start;
                    for ((to, new), share) in plane[line..].iter_mut().zip(new).zip(&self.share[line..]) {
                        *to += share * (new - *to);
                    }
                }
            }
        }
        Tensor::new(&[count, 3, height, width], pictures)
    }
}

/// Which latent pixels lie under something that is drawn anew by `mask [H, W]`, or that fades into it.
fn touched(mask: &Tensor, latents: Size, factor: usize) -> Vec<bool> {
    let mut touched = vec![false; latents.width * latents.height];
    for (row, values) in mask.f32().chunks_exact((latents.width * factor).max(1)).enumerate() {
        for (cell, values) in values.chunks_exact(factor).enumerate() {
            touched[row / factor * latents.width + cell] |= values.iter().any(|&value| value > 0.0);
        }
    }
    touched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    const LATENTS: Size = Size { width: 20, height: 10 };

    fn part(halo: &str, marks: impl Fn(usize, usize) -> bool) -> Option<Part> {
        let size = LATENTS.times(2);
        let mask = (0..size.width * size.height).map(|at| f32::from(u8::from(marks(at % size.width, at / size.width))));
        let mut request = Request::prompt("a fox");
        request.image = Some(Tensor::new(&[3, size.height, size.width], vec![0.25; 3 * 800]).unwrap());
        request.mask = Some(Tensor::new(&[size.height, size.width], mask.collect()).unwrap());
        request.compression.masked = Some(format!("decode={halo}").parse().unwrap());
        Part::of(&request, Canvas { pixels: size, latents: LATENTS, grid: Grid::new(10, 20) }, 2)
    }

    #[test]
    fn what_is_decoded_fades_into_the_picture() {
        let part = part("2", |x, y| (x, y) == (9, 10)).unwrap();
        let area = Area { rows: 3..8, columns: 2..7 };
        assert_eq!(part.areas, [area]);
        let white = Tensor::new(&[2, 3, 10, 10], vec![1.0; 600]).unwrap();
        let pictures = part.composed(&[white], 2).unwrap();
        assert_eq!(pictures.shape, [2, 3, 20, 40]);
        // Latent pixel (4, 5) is under the mask. In the last picture's last channel:
        let pixel = |x: usize, y: usize| pictures.f32()[(5 * 20 + y) * 40 + x];
        let row: Vec<_> = (8..16).map(|x| pixel(x, 10)).collect();
        let faded = [1.0, 1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.25];
        assert!(row.iter().zip(faded).all(|(a, b)| (a - b).abs() < 1e-6), "{row:?}");
        assert_eq!((pixel(8, 11), pixel(0, 0), pixel(39, 19)), (1.0, 0.25, 0.25));
    }

    #[test]
    fn all_is_decoded_where_that_costs_little_more() {
        assert!(part("2", |_, _| true).is_none());
        assert!(part("2", |x, y| x > 0 || y > 0).is_none());
        assert!(part("whole", |x, _| x == 0).is_none());
        assert!(part("99", |x, _| x == 0).is_none());
        assert_eq!(part("0", |x, _| x == 0).unwrap().areas, [Area { rows: 0..10, columns: 0..1 }]);
        assert_eq!(part("18446744073709551615", |_, _| false).unwrap().areas, []);
    }

    #[test]
    fn where_nothing_is_marked_the_picture_stays() {
        let pictures = part("2", |_, _| false).unwrap().composed(&[], 3).unwrap();
        assert_eq!(pictures, Tensor::new(&[3, 3, 20, 40], vec![0.25; 9 * 800]).unwrap());
    }
}
