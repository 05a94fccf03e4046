//! Where a token lies in its picture.

use foveate::{Error, Result};

/// The shorter side of a map in pixels, at least.
const READABLE: u32 = 256;

/// The tokens of a picture, row by row, each a square of its pixels; and how often a map repeats each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub columns: u32,
    pub rows: u32,
    /// Pixels of the picture on a side of a token.
    pub token: u32,
    /// Pixels of the map on a side of a pixel.
    pub zoom: u32,
}

impl Grid {
    /// The grid of so many tokens over a picture.
    pub fn new(tokens: usize, width: u32, height: u32) -> Result<Self> {
        let area = u64::from(width) * u64::from(height);
        let token = (area / (tokens as u64).max(1)).isqrt() as u32;
        let fits = token > 0 && width.is_multiple_of(token) && height.is_multiple_of(token);
        if !fits || u64::from(token).pow(2) * tokens as u64 != area {
            return Err(Error::shape(
                "maps",
                format!("{tokens} tokens are no grid over a picture of {width}x{height}"),
            ));
        }
        let zoom = READABLE.div_ceil(width.min(height));
        Ok(Self { columns: width / token, rows: height / token, token, zoom })
    }

    /// Width and height of a map.
    pub fn size(&self) -> [u32; 2] {
        [self.columns, self.rows].map(|side| side * self.token * self.zoom)
    }

    /// The picture's pixel that a map's pixel shows.
    pub fn pixel(&self, x: u32, y: u32) -> [u32; 2] {
        [x / self.zoom, y / self.zoom]
    }

    /// The token that a map's pixel belongs to.
    pub fn token(&self, x: u32, y: u32) -> usize {
        let [column, row] = [x, y].map(|at| at / (self.token * self.zoom));
        (row * self.columns + column) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_has_its_columns_along_its_width() {
        let grid = Grid::new(7 * 5, 56, 40).unwrap();
        assert_eq!(grid, Grid { columns: 7, rows: 5, token: 8, zoom: 7 });
        assert_eq!(grid.size(), [392, 280]);
        assert_eq!((grid.token(0, 0), grid.token(391, 0), grid.token(0, 279), grid.token(391, 279)), (0, 6, 28, 34));
        assert_eq!((grid.token(55, 55), grid.token(56, 55), grid.token(55, 56)), (0, 1, 7));
        assert_eq!((grid.pixel(6, 7), grid.pixel(391, 279)), ([0, 1], [55, 39]));
        let high = Grid::new(7 * 5, 40, 56).unwrap();
        assert_eq!((high.columns, high.rows, high.size()), (5, 7, [280, 392]));
        assert_eq!((high.token(279, 0), high.token(0, 391)), (4, 30));
    }

    #[test]
    fn large_pictures_are_not_enlarged() {
        let zoom = |width, height| Grid::new(4, width, height).map(|grid| grid.zoom);
        assert_eq!((zoom(64, 64).unwrap(), zoom(256, 256).unwrap(), zoom(1024, 1024).unwrap()), (4, 1, 1));
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        for (tokens, width, height) in [(35, 40, 40), (0, 8, 8), (3, 8, 8), (65, 8, 8), (2, 9, 2)] {
            assert!(Grid::new(tokens, width, height).is_err(), "{tokens} over {width}x{height}");
        }
    }
}
