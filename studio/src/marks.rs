//! Which pixels of a picture are marked, in tiles of bits that copies share: a copy of a mask of a hundred million pixels
//! takes microseconds, and what is painted after it copies the tiles that change.

use std::sync::Arc;

use image::{GrayImage, Luma};

/// Pixels along the sides of a tile.
const TILE: u32 = 256;
/// Pixels in a word.
const WORD: u32 = u64::BITS;
/// Words in a row of a tile.
const WORDS: u32 = TILE / WORD;

/// A mask of a picture's size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    width: u32,
    height: u32,
    /// Row by row.
    tiles: Vec<Arc<Tile>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Tile {
    /// Row by row. What lies outside the picture is never marked.
    words: Vec<u64>,
    /// How many pixels are marked.
    marked: u32,
}

impl Marks {
    /// Nothing marked, on a picture of this size.
    pub fn new(width: u32, height: u32) -> Self {
        let empty = Arc::new(Tile { words: vec![0; (TILE * WORDS) as usize], marked: 0 });
        let count = width.div_ceil(TILE) as usize * height.div_ceil(TILE) as usize;
        Self { width, height, tiles: vec![empty; count] }
    }

    /// What is light in a picture.
    pub fn of(mask: &GrayImage) -> Self {
        let mut marks = Self::new(mask.width(), mask.height());
        for (y, row) in (0..).zip(mask.rows()) {
            let mut x = 0;
            // In runs: a word at a time.
            let row: Vec<bool> = row.map(|&Luma([light])| light >= 128).collect();
            for run in row.chunk_by(|a, b| a == b) {
                let end = x + run.len() as u32;
                if run[0] {
                    marks.set(y, [x, end], true);
                }
                x = end;
            }
        }
        marks
    }

    /// As a picture: 255 where it is marked, 0 elsewhere.
    pub fn picture(&self) -> GrayImage {
        let mut picture = GrayImage::new(self.width, self.height);
        for (number, tile) in self.tiles.iter().enumerate().filter(|(_, tile)| tile.marked > 0) {
            let [left, top] = self.corner(number);
            for (y, words) in (top..self.height).zip(tile.words.chunks(WORDS as usize)) {
                for (x, bit) in
                    (left..self.width).zip(words.iter().flat_map(|word| (0..WORD).map(move |at| word >> at & 1)))
                {
                    if bit == 1 {
                        picture.put_pixel(x, y, Luma([255]));
                    }
                }
            }
        }
        picture
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Whether a pixel is marked.
    pub fn has(&self, x: u32, y: u32) -> bool {
        let word = (y % TILE * WORDS + x % TILE / WORD) as usize;
        self.tiles[self.number(x, y)].words[word] >> (x % WORD) & 1 == 1
    }

    /// How many pixels are marked.
    pub fn count(&self) -> u64 {
        self.tiles.iter().map(|tile| u64::from(tile.marked)).sum()
    }

    /// Marks, or clears, pixels of a row, from the first up to the second.
    pub fn set(&mut self, y: u32, [from, to]: [u32; 2], mark: bool) {
        let (mut x, to) = (from, to.min(self.width));
        while x < to && y < self.height {
            // Up to where the tile ends.
            let end = (x / TILE + 1).saturating_mul(TILE).min(to);
            let number = self.number(x, y);
            let row = (y % TILE * WORDS) as usize;
            let parts = (x % TILE / WORD..=(end - 1) % TILE / WORD).map(|word| {
                let first = (x % TILE).max(word * WORD) % WORD;
                let last = ((end - 1) % TILE).min(word * WORD + WORD - 1) % WORD;
                (row + word as usize, u64::MAX << first & u64::MAX >> (WORD - 1 - last))
            });
            let words = &self.tiles[number].words;
            let changes = |(at, bits): (usize, u64)| words[at] & bits != if mark { bits } else { 0 };
            if parts.clone().any(changes) {
                let tile = Arc::make_mut(&mut self.tiles[number]);
                for (at, bits) in parts {
                    let before = tile.words[at];
                    let after = if mark { before | bits } else { before & !bits };
                    tile.words[at] = after;
                    tile.marked = tile.marked + after.count_ones() - before.count_ones();
                }
            }
            x = end;
        }
    }

    /// Marks what is not marked, and the other way round.
    pub fn invert(&mut self) {
        for number in 0..self.tiles.len() {
            let [left, top] = self.corner(number);
            let [width, height] = [self.width - left, self.height - top].map(|side| side.min(TILE));
            let tile = Arc::make_mut(&mut self.tiles[number]);
            for row in tile.words.chunks_mut(WORDS as usize).take(height as usize) {
                for (word, first) in row.iter_mut().zip((0..width).step_by(WORD as usize)) {
                    *word ^= u64::MAX >> (WORD - (width - first).min(WORD));
                }
            }
            tile.marked = width * height - tile.marked;
        }
    }

    fn across(&self) -> usize {
        self.width.div_ceil(TILE) as usize
    }

    /// The number of the tile with this pixel.
    fn number(&self, x: u32, y: u32) -> usize {
        (y / TILE) as usize * self.across() + (x / TILE) as usize
    }

    /// The first pixel of a tile.
    fn corner(&self, number: usize) -> [u32; 2] {
        [number % self.across(), number / self.across()].map(|at| at as u32 * TILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that end within a word, at one, and beyond a tile.
    const SIZES: [(u32, u32); 5] = [(1, 1), (64, 3), (70, 2), (256, 257), (300, 520)];

    #[test]
    fn a_mask_comes_back_as_it_was() {
        for (width, height) in SIZES {
            let mask = GrayImage::from_fn(width, height, |x, y| Luma([if (x * 7 + y * 13) % 5 < 2 { 255 } else { 0 }]));
            let marks = Marks::of(&mask);
            assert_eq!(marks.picture(), mask, "{width} × {height}");
            assert_eq!(marks.size(), (width, height));
            assert_eq!(marks.count(), mask.pixels().filter(|pixel| pixel.0[0] > 0).count() as u64);
            assert!(mask.enumerate_pixels().all(|(x, y, pixel)| marks.has(x, y) == (pixel.0[0] > 0)));
            let mut inverted = marks.clone();
            inverted.invert();
            assert_eq!(inverted.count(), u64::from(width * height) - marks.count());
            assert!(mask.enumerate_pixels().all(|(x, y, _)| inverted.has(x, y) != marks.has(x, y)));
            inverted.invert();
            assert_eq!(inverted, marks);
        }
        assert_eq!(Marks::default().picture().dimensions(), (0, 0));
    }

    #[test]
    fn rows_are_set_between_any_pixels() {
        for (width, height) in SIZES {
            for (from, to) in [(0, width), (0, 1), (width - 1, width), (width / 2, width / 2), (width / 3, u32::MAX)] {
                let mut marks = Marks::new(width, height);
                marks.set(height - 1, [from, to], true);
                let expected = |x: u32, y: u32| y == height - 1 && (from..to).contains(&x);
                assert!((0..height).all(|y| (0..width).all(|x| marks.has(x, y) == expected(x, y))), "{from} to {to}");
                marks.set(height, [0, width], true);
                assert_eq!(marks.count(), u64::from(to.min(width) - from));
                marks.set(height - 1, [0, width], false);
                assert_eq!(marks, Marks::new(width, height));
            }
        }
    }

    #[test]
    fn copies_share_what_did_not_change() {
        let mut marks = Marks::new(10_000, 10_000);
        let before = marks.clone();
        marks.set(300, [250, 260], true);
        let shared = marks.tiles.iter().zip(&before.tiles).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, marks.tiles.len() - 2);
        assert_eq!((before.count(), marks.count()), (0, 10));
    }
}
