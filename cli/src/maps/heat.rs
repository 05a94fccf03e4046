//! One number per token, painted over the picture.

use foveate_studio::viridis;
use image::{Rgb, RgbImage};

use super::cells::Cells;
use super::colour;

/// The least and the greatest value of a map: what the ends of its colours mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub least: f32,
    pub most: f32,
}

impl Scale {
    /// The range of these values.
    pub fn of(values: &[f32]) -> Self {
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        Self { least, most: values.iter().copied().fold(f32::NEG_INFINITY, f32::max) }
    }

    /// Where a value lies on it, 0…1; in the middle where all values are one.
    fn place(self, value: f32) -> f32 {
        let range = self.most - self.least;
        if range > 0.0 { (value - self.least) / range } else { 0.5 }
    }
}

/// The values in colour over the picture in grey, whose contrast is stretched, so that a night too can be recognised.
/// `values` has one for each token.
pub fn values(picture: &RgbImage, cells: Cells, values: &[f32]) -> RgbImage {
    let (scale, greys) =
        (Scale::of(values), Scale::of(&picture.pixels().map(|&p| colour::luma(p)).collect::<Vec<_>>()));
    let colours: Vec<_> = values.iter().map(|&value| viridis(scale.place(value))).collect();
    paint(picture, cells, |token, pixel| colour::over(colours[token], 255.0 * greys.place(colour::luma(pixel))))
}

/// The picture where `kept` is not 0, dark where it is.
pub fn kept(picture: &RgbImage, cells: Cells, kept: &[f32]) -> RgbImage {
    paint(picture, cells, |token, pixel| if kept[token] == 0.0 { colour::bypassed(pixel) } else { pixel })
}

/// The picture itself, as large as its maps.
pub fn plain(picture: &RgbImage, cells: Cells) -> RgbImage {
    paint(picture, cells, |_, pixel| pixel)
}

fn paint(picture: &RgbImage, cells: Cells, colour: impl Fn(usize, Rgb<u8>) -> Rgb<u8>) -> RgbImage {
    let [width, height] = cells.size();
    RgbImage::from_fn(width, height, |x, y| {
        let [column, row] = cells.pixel(x, y);
        colour(cells.token(x, y), *picture.get_pixel(column, row))
    })
}

#[cfg(test)]
mod tests {
    use foveate::Grid;

    use super::*;

    #[test]
    fn tokens_are_painted_in_their_places() {
        let picture = RgbImage::from_fn(6, 4, |x, y| Rgb([40 * x as u8, 60 * y as u8, 200]));
        let cells = Cells::new(Grid::new(2, 3), 6, 4).unwrap();
        let map = kept(&picture, cells, &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let corner = |column: u32, row: u32| *map.get_pixel(column * 2 * cells.zoom, row * 2 * cells.zoom);
        assert_eq!(corner(0, 0), *picture.get_pixel(0, 0));
        assert_eq!(corner(1, 0), colour::bypassed(*picture.get_pixel(2, 0)));
        assert_eq!(corner(1, 1), *picture.get_pixel(2, 2));
        assert_eq!(corner(2, 1), colour::bypassed(*picture.get_pixel(4, 2)));
        assert_eq!(*plain(&picture, cells).get_pixel(6 * cells.zoom - 1, 0), *picture.get_pixel(5, 0));
    }

    #[test]
    fn the_least_and_the_most_take_the_ends_of_the_colours() {
        let picture = RgbImage::new(2, 1);
        let cells = Cells::new(Grid::new(1, 2), 2, 1).unwrap();
        let map = values(&picture, cells, &[0.4, 0.3]);
        let ends = [1.0, 0.0].map(|end| colour::over(viridis(end), 127.5));
        assert_eq!([*map.get_pixel(0, 0), *map.get_pixel(cells.zoom, 0)], ends);
        assert_eq!(Scale::of(&[7.0; 3]).place(7.0), 0.5);
    }
}
