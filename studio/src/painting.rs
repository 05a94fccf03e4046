//! A mask that is painted on a picture: strokes, rectangles, and the way back. The app paints it by hand, the browser sends
//! what was painted there.

use image::{GrayImage, Luma};

/// Changes that can be taken back.
const REMEMBERED: usize = 40;

/// A mask of a picture's size: 255 where the picture is drawn anew, 0 elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Painting {
    mask: GrayImage,
    /// How many pixels are marked.
    marked: usize,
    undo: Vec<Marks>,
    redo: Vec<Marks>,
    /// Changes with every change.
    version: u64,
}

/// A mask, a bit a pixel.
type Marks = Vec<u8>;

/// A place in pixels of the picture.
pub type Place = [f32; 2];

impl Painting {
    /// Nothing marked, on a picture of this size.
    pub fn new(width: u32, height: u32) -> Self {
        Self::of(GrayImage::new(width, height))
    }

    /// A mask that is there already.
    pub fn of(mut mask: GrayImage) -> Self {
        mask.pixels_mut().for_each(|pixel| pixel.0[0] = if pixel.0[0] >= 128 { 255 } else { 0 });
        let marked = mask.pixels().filter(|pixel| pixel.0[0] > 0).count();
        Self { mask, marked, ..Self::default() }
    }

    /// The mask.
    pub fn mask(&self) -> &GrayImage {
        &self.mask
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.marked == 0
    }

    /// The share of the picture that is marked.
    pub fn share(&self) -> f32 {
        self.marked as f32 / self.mask.as_raw().len().max(1) as f32
    }

    /// Differs after every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Begins a change, which [`Painting::undo`] takes back whole.
    pub fn begin(&mut self) {
        self.undo.push(self.marks());
        self.redo.clear();
        if self.undo.len() > REMEMBERED {
            self.undo.remove(0);
        }
    }

    /// Marks, or clears, what a round brush of this radius covers on its way between two places.
    pub fn stroke(&mut self, from: Place, to: Place, radius: f32, mark: bool) {
        let radius = radius.max(0.5);
        let along = [to[0] - from[0], to[1] - from[1]];
        let length = along[0] * along[0] + along[1] * along[1];
        let [x, y] = [0, 1].map(|axis| {
            let (low, high) = (from[axis].min(to[axis]) - radius, from[axis].max(to[axis]) + radius);
            self.clamped(axis, low, high)
        });
        self.fill(x, y, mark, |x, y| {
            let (dx, dy) = (x - from[0], y - from[1]);
            let at = if length > 0.0 { ((dx * along[0] + dy * along[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
            let (dx, dy) = (dx - at * along[0], dy - at * along[1]);
            dx * dx + dy * dy <= radius * radius
        });
    }

    /// Marks, or clears, the rectangle between two corners.
    pub fn rectangle(&mut self, from: Place, to: Place, mark: bool) {
        let [x, y] = [0, 1].map(|axis| self.clamped(axis, from[axis].min(to[axis]), from[axis].max(to[axis])));
        self.fill(x, y, mark, |_, _| true);
    }

    /// Clears all of it.
    pub fn clear(&mut self) {
        self.begin();
        self.fill([0, self.mask.width()], [0, self.mask.height()], false, |_, _| true);
    }

    /// Marks what is not marked, and the other way round.
    pub fn invert(&mut self) {
        self.begin();
        self.mask.pixels_mut().for_each(|pixel| pixel.0[0] = !pixel.0[0]);
        self.marked = self.mask.as_raw().len() - self.marked;
        self.version += 1;
    }

    /// Whether there is a change to take back.
    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Whether there is one to make again.
    pub fn can_redo(&self) -> bool {
        !self.redo.is_empty()
    }

    /// Takes the last change back.
    pub fn undo(&mut self) {
        if let Some(before) = self.undo.pop() {
            self.redo.push(self.marks());
            self.restore(&before);
        }
    }

    /// Makes the change again that was taken back last.
    pub fn redo(&mut self) {
        if let Some(after) = self.redo.pop() {
            self.undo.push(self.marks());
            self.restore(&after);
        }
    }

    /// The pixels of an axis whose middles lie between two places.
    fn clamped(&self, axis: usize, low: f32, high: f32) -> [u32; 2] {
        let side = [self.mask.width(), self.mask.height()][axis];
        [(low - 0.5).ceil(), (high - 0.5).floor() + 1.0].map(|at| at.clamp(0.0, side as f32) as u32)
    }

    fn fill(
        &mut self,
        [left, right]: [u32; 2],
        [top, bottom]: [u32; 2],
        mark: bool,
        within: impl Fn(f32, f32) -> bool,
    ) {
        let value = if mark { 255 } else { 0 };
        for y in top..bottom {
            for x in left..right {
                let pixel = self.mask.get_pixel_mut(x, y);
                if pixel.0[0] != value && within(x as f32 + 0.5, y as f32 + 0.5) {
                    *pixel = Luma([value]);
                    self.marked = if mark { self.marked + 1 } else { self.marked - 1 };
                }
            }
        }
        self.version += 1;
    }

    fn marks(&self) -> Marks {
        let byte = |pixels: &[u8]| pixels.iter().fold(0, |byte, pixel| byte << 1 | (pixel & 1));
        self.mask.as_raw().chunks(8).map(byte).collect()
    }

    fn restore(&mut self, marks: &Marks) {
        self.marked = 0;
        for (pixels, byte) in self.mask.chunks_mut(8).zip(marks) {
            let last = pixels.len() - 1;
            for (at, pixel) in pixels.iter_mut().enumerate() {
                let marked = byte >> (last - at) & 1 == 1;
                *pixel = if marked { 255 } else { 0 };
                self.marked += usize::from(marked);
            }
        }
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(painting: &Painting) -> Vec<(u32, u32)> {
        let marked = painting.mask().enumerate_pixels().filter(|(.., pixel)| pixel.0[0] == 255);
        let marked: Vec<_> = marked.map(|(x, y, _)| (x, y)).collect();
        assert_eq!(marked.len(), painting.marked);
        marked
    }

    #[test]
    fn brushes_and_rectangles_mark_the_pixels_whose_middles_they_cover() {
        let mut painting = Painting::new(7, 3);
        painting.begin();
        painting.stroke([1.5, 1.5], [4.5, 1.5], 0.6, true);
        assert_eq!(marked(&painting), [(1, 1), (2, 1), (3, 1), (4, 1)]);
        painting.stroke([1.5, 1.5], [1.5, 1.5], 0.6, false);
        painting.rectangle([5.4, -9.0], [99.0, 0.6], true);
        assert_eq!(marked(&painting), [(5, 0), (6, 0), (2, 1), (3, 1), (4, 1)]);
        painting.stroke([-50.0, -50.0], [-40.0, -40.0], 5.0, true);
        assert_eq!(painting.marked, 5);
        assert!((painting.share() - 5.0 / 21.0).abs() < 1e-6);
    }

    #[test]
    fn every_change_is_taken_back_and_made_again() {
        let mut painting = Painting::new(5, 5);
        let nothing = marked(&painting);
        painting.begin();
        painting.stroke([0.5, 0.5], [4.5, 4.5], 0.5, true);
        let stroke = marked(&painting);
        painting.invert();
        let inverted = marked(&painting);
        assert_eq!(stroke.len() + inverted.len(), 25);
        painting.clear();
        assert!(painting.is_empty());
        for before in [&inverted, &stroke, &nothing, &nothing] {
            painting.undo();
            assert_eq!(marked(&painting), *before);
        }
        painting.redo();
        painting.redo();
        assert_eq!(marked(&painting), inverted);
        // What is painted now is what comes next: the old future is gone.
        painting.begin();
        painting.rectangle([0.0, 0.0], [5.0, 5.0], true);
        assert!(!painting.can_redo() && painting.share() == 1.0);
        for _ in 0..2 * REMEMBERED {
            painting.invert();
        }
        assert_eq!(painting.undo.len(), REMEMBERED);
    }
}
