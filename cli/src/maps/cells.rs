//! Where a token lies in its picture.

use foveate::{Error, Grid, Result};

/// The shorter side of a map in pixels, at least.
const READABLE: u32 = 256;

/// The tokens of a picture, row by row, each a square of its pixels; and how often a map repeats each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    columns: u32,
    rows: u32,
    /// Pixels of the picture on a side of a token.
    token: u32,
    /// Pixels of the map on a side of a pixel.
    pub zoom: u32,
}

impl Cells {
    /// The tokens of this grid over a picture.
    pub fn new(grid: Grid, width: u32, height: u32) -> Result<Self> {
        let [columns, rows] = [grid.columns, grid.rows].map(|side| side as u32);
        let token = width / columns.max(1);
        if token == 0 || [columns * token, rows * token] != [width, height] {
            let reason = format!("{grid} tokens are no grid over a picture of {width}x{height}");
            return Err(Error::shape("maps", reason));
        }
        Ok(Self { columns, rows, token, zoom: READABLE.div_ceil(width.min(height)) })
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
        let wide = Cells::new(Grid::new(5, 7), 56, 40).unwrap();
        assert_eq!(wide, Cells { columns: 7, rows: 5, token: 8, zoom: 7 });
        assert_eq!(wide.size(), [392, 280]);
        assert_eq!((wide.token(0, 0), wide.token(391, 0), wide.token(0, 279), wide.token(391, 279)), (0, 6, 28, 34));
        assert_eq!((wide.token(55, 55), wide.token(56, 55), wide.token(55, 56)), (0, 1, 7));
        assert_eq!((wide.pixel(6, 7), wide.pixel(391, 279)), ([0, 1], [55, 39]));
        let high = Cells::new(Grid::new(7, 5), 40, 56).unwrap();
        assert_eq!((high.columns, high.rows, high.size()), (5, 7, [280, 392]));
        assert_eq!((high.token(279, 0), high.token(0, 391)), (4, 30));
    }

    #[test]
    fn large_pictures_are_not_enlarged() {
        let zoom = |width, height| Cells::new(Grid::new(2, 2), width, height).map(|cells| cells.zoom);
        assert_eq!((zoom(64, 64).unwrap(), zoom(256, 256).unwrap(), zoom(1024, 1024).unwrap()), (4, 1, 1));
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        for (grid, width, height) in [
            ([5, 7], 40, 40),
            ([0, 0], 8, 8),
            ([0, 1], 8, 8),
            ([1, 3], 8, 8),
            ([9, 9], 8, 8),
            ([1, 2], 9, 2),
            ([7, 5], 56, 40),
        ] {
            assert!(Cells::new(grid.into(), width, height).is_err(), "{grid:?} over {width}x{height}");
        }
    }
}
