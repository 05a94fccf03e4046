//! Pictures too large to be worked on whole: cut into tiles that overlap by a quarter, and blended linearly where they
//! do (diffusers' `tiled_decode` and `tiled_encode`).

use std::ops::Range;

use crate::{Error, Result, Tensor};

/// How input and output are cut, in latent pixels and their multiples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Latent pixels of a tile's side: a multiple of 4, so that the overlap is whole.
    pub side: usize,
    /// Pixels of the input per latent pixel.
    pub input: usize,
    /// Pixels of the output per latent pixel.
    pub output: usize,
}

/// Channels of lines of pixels.
#[derive(Debug)]
struct Image {
    channels: usize,
    height: usize,
    width: usize,
    pixels: Vec<f32>,
}

/// One picture on its way through the tiles: take [`Mosaic::next`], work on it, and [`Mosaic::put`] the result back.
#[derive(Debug)]
pub(super) struct Mosaic {
    tiles: Tiles,
    input: Image,
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
    /// The results of the row of tiles above, and of those to the left.
    above: Vec<Image>,
    left: Vec<Image>,
    whole: Image,
}

impl Mosaic {
    /// A picture `[1, C, H, W]` to be cut.
    pub(super) fn new(tiles: Tiles, input: &Tensor) -> Result<Self> {
        if tiles.side == 0 || !tiles.side.is_multiple_of(4) {
            return Err(Error::Usage(format!("tiles of {} latent pixels cannot overlap by a quarter", tiles.side)));
        }
        let input = Image::of(input.clone())?;
        let [height, width] = [input.height, input.width].map(|pixels| pixels / tiles.input);
        let (rows, columns) = (tiles.along(height), tiles.along(width));
        let whole = Image { channels: 0, height: height * tiles.output, width: width * tiles.output, pixels: vec![] };
        Ok(Self { tiles, input, rows, columns, above: Vec::new(), left: Vec::new(), whole })
    }

    /// The next tile, until there is none.
    pub(super) fn next(&self) -> Option<Result<Tensor>> {
        let scaled = |range: &Range<usize>| range.start * self.tiles.input..range.end * self.tiles.input;
        let (row, column) = (self.rows.first()?, self.columns.get(self.left.len())?);
        Some(self.input.crop(scaled(row), scaled(column)).tensor())
    }

    /// The result for the tile that [`Mosaic::next`] returned.
    pub(super) fn put(&mut self, result: Tensor) -> Result<()> {
        let (side, output) = (self.tiles.side, self.tiles.output);
        let overlap = side / 4 * output;
        let mut tile = Image::of(result)?;
        if let Some(above) = self.above.get(self.left.len()) {
            tile.blend_below(above, overlap);
        }
        if let Some(left) = self.left.last() {
            tile.blend_right_of(left, overlap);
        }
        if self.whole.pixels.is_empty() {
            self.whole.channels = tile.channels;
            self.whole.pixels.resize(tile.channels * self.whole.height * self.whole.width, 0.0);
        }
        // What the next tiles blend, they overwrite.
        let (top, left) = (self.rows[0].start * output, self.columns[self.left.len()].start * output);
        self.whole.paste(&tile, top, left);
        self.left.push(tile);
        if self.left.len() == self.columns.len() {
            self.above = std::mem::take(&mut self.left);
            self.rows.remove(0);
        }
        Ok(())
    }

    /// The whole, once every tile was put back.
    pub(super) fn whole(self) -> Result<Tensor> {
        self.whole.tensor()
    }
}

impl Tiles {
    /// The tiles along an axis of `length`. Where diffusers ends with a tile that lies within the one before it, this
    /// leaves it out: it would be normalised by the statistics of a sliver.
    fn along(self, length: usize) -> Vec<Range<usize>> {
        let overlap = self.side / 4;
        let starts = (0..length).step_by(self.side - overlap);
        let starts = starts.filter(|&start| start == 0 || start + overlap < length);
        starts.map(|start| start..length.min(start + self.side)).collect()
    }
}

impl Image {
    fn of(tensor: Tensor) -> Result<Self> {
        match (tensor.shape.as_slice(), tensor.f32()) {
            (&[1, channels, height, width], pixels) => Ok(Self { channels, height, width, pixels: pixels.to_vec() }),
            (shape, _) => Err(Error::shape("tiling", format!("{shape:?} is not one image"))),
        }
    }

    fn tensor(self) -> Result<Tensor> {
        Tensor::new(&[1, self.channels, self.height, self.width], self.pixels)
    }

    fn line(&self, channel: usize, y: usize) -> &[f32] {
        &self.pixels[(channel * self.height + y) * self.width..][..self.width]
    }

    fn line_mut(&mut self, channel: usize, y: usize) -> &mut [f32] {
        &mut self.pixels[(channel * self.height + y) * self.width..][..self.width]
    }

    fn crop(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let lines = (0..self.channels).flat_map(|c| rows.clone().map(move |y| (c, y)));
        let pixels = lines.flat_map(|(c, y)| &self.line(c, y)[columns.clone()]).copied().collect();
        Self { channels: self.channels, height: rows.len(), width: columns.len(), pixels }
    }

    fn paste(&mut self, tile: &Self, top: usize, left: usize) {
        for c in 0..tile.channels {
            for y in 0..tile.height {
                self.line_mut(c, top + y)[left..left + tile.width].copy_from_slice(tile.line(c, y));
            }
        }
    }

    /// Fades from the last `overlap` lines of `above` into these.
    fn blend_below(&mut self, above: &Self, overlap: usize) {
        for c in 0..self.channels {
            for y in 0..overlap {
                let share = y as f32 / overlap as f32;
                let faded = above.line(c, above.height - overlap + y);
                for (own, &other) in self.line_mut(c, y).iter_mut().zip(faded) {
                    *own = other * (1.0 - share) + *own * share;
                }
            }
        }
    }

    /// Fades from the last `overlap` columns of `left` into these.
    fn blend_right_of(&mut self, left: &Self, overlap: usize) {
        for c in 0..self.channels {
            for y in 0..self.height {
                let faded = &left.line(c, y)[left.width - overlap..];
                for (x, (own, &other)) in self.line_mut(c, y).iter_mut().zip(faded).enumerate() {
                    let share = x as f32 / overlap as f32;
                    *own = other * (1.0 - share) + *own * share;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_an_axis_and_overlap_by_a_quarter() {
        let along = |length| {
            let tiles = Tiles { side: 8, input: 1, output: 1 }.along(length);
            tiles.iter().map(|tile| (tile.start, tile.end)).collect::<Vec<_>>()
        };
        assert_eq!(along(5), [(0, 5)]);
        assert_eq!(along(8), [(0, 8)]); // diffusers would add 6..8
        assert_eq!(along(9), [(0, 8), (6, 9)]);
        assert_eq!(along(21), [(0, 8), (6, 14), (12, 20), (18, 21)]);
    }

    #[test]
    fn blending_what_agrees_changes_nothing() {
        for (input, output) in [(1, 2), (2, 1)] {
            let tiles = Tiles { side: 4, input, output };
            let (height, width) = (9, 6);
            let ramp = |scale: usize| {
                let line = |y: usize| (0..width * scale).map(move |x| (y / scale * 10 + x / scale) as f32);
                let pixels = (0..height * scale).flat_map(line).collect();
                Tensor::new(&[1, 1, height * scale, width * scale], pixels).unwrap()
            };
            // Each tile is resampled by its first pixels: exact for a ramp of whole latent pixels.
            let resample = |tile: Tensor| {
                let image = Image::of(tile)?;
                let (height, width) = (image.height / input * output, image.width / input * output);
                let at = |y: usize, x: usize| image.line(0, y * input / output)[x * input / output];
                let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| at(y, x)).collect();
                Tensor::new(&[1, 1, height, width], pixels)
            };
            let mut mosaic = Mosaic::new(tiles, &ramp(input)).unwrap();
            while let Some(tile) = mosaic.next() {
                mosaic.put(resample(tile.unwrap()).unwrap()).unwrap();
            }
            assert_eq!(mosaic.whole().unwrap(), ramp(output));
        }
    }
}
