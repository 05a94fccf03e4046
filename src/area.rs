//! Rectangles of pictures, which of them lie around what is marked, and how far a pixel lies from that.

use std::ops::Range;

use crate::{Error, Result, Size, Tensor};

/// A rectangle of a picture or of its latents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Which rows.
    pub rows: Range<usize>,
    /// Which columns.
    pub columns: Range<usize>,
}

/// So many areas are told apart at most: beyond them, one around all is cheaper to work on.
const MOST_AREAS: usize = 16;

impl Area {
    /// All of a picture.
    pub fn whole(size: Size) -> Self {
        Self { rows: 0..size.height, columns: 0..size.width }
    }

    /// Its width and height.
    pub fn size(&self) -> Size {
        Size::new(self.columns.len(), self.rows.len())
    }

    /// Its pixels.
    pub fn count(&self) -> usize {
        self.rows.len().saturating_mul(self.columns.len())
    }

    /// The same rectangle of a picture that is `factor` times as large each way.
    pub fn times(&self, factor: usize) -> Self {
        let times = |range: &Range<usize>| range.start.saturating_mul(factor)..range.end.saturating_mul(factor);
        Self { rows: times(&self.rows), columns: times(&self.columns) }
    }

    /// With `by` more pixels on every side, as far as a picture of `size` has them.
    pub fn grown(&self, by: usize, size: Size) -> Self {
        let grown =
            |range: &Range<usize>, side: usize| range.start.saturating_sub(by)..range.end.saturating_add(by).min(side);
        Self { rows: grown(&self.rows, size.height), columns: grown(&self.columns, size.width) }
    }

    /// The place of this rectangle in `other`, which holds it.
    pub fn within(&self, other: &Self) -> Self {
        let within =
            |range: &Range<usize>, start: usize| range.start.saturating_sub(start)..range.end.saturating_sub(start);
        Self { rows: within(&self.rows, other.rows.start), columns: within(&self.columns, other.columns.start) }
    }

    /// Whether a pixel lies in both.
    fn meets(&self, other: &Self) -> bool {
        let both = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        both(&self.rows, &other.rows) && both(&self.columns, &other.columns)
    }

    /// The smallest rectangle around both.
    fn with(&self, other: &Self) -> Self {
        let both = |a: &Range<usize>, b: &Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        Self { rows: both(&self.rows, &other.rows), columns: both(&self.columns, &other.columns) }
    }

    /// Rectangles around all that is marked, row by row, of a picture of `size`, and around what lies within `halo` of
    /// it. Parts that lie apart have rectangles of their own, where that is clearly less than one around both. None
    /// where nothing is marked.
    pub(crate) fn around(size: Size, marked: &[bool], halo: usize) -> Vec<Self> {
        let mut near = near(size, marked, halo);
        let (mut areas, mut from) = (Vec::new(), 0);
        while let Some(next) = near[from..].iter().position(|&near| near) {
            from += next;
            areas.push(connected(size, &mut near, from));
        }
        let merged = |areas: &[Self]| areas.iter().cloned().reduce(|a, b| a.with(&b));
        if areas.len() > MOST_AREAS {
            return merged(&areas).into_iter().collect();
        }
        // One around both has an edge less, and spares the device a second run of every op. What overlaps would be
        // worked on twice.
        let as_one = |a: &Self, b: &Self| a.meets(b) || 4 * a.with(b).count() <= 5 * (a.count() + b.count());
        let pairs = |areas: &[Self]| {
            let mut pairs = (0..areas.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
            pairs.find(|&(a, b)| as_one(&areas[a], &areas[b]))
        };
        while let Some((a, b)) = pairs(&areas) {
            let other = areas.swap_remove(b);
            areas[a] = areas[a].with(&other);
        }
        areas
    }
}

/// Areas, in latent pixels, of `pictures [B, C, H, W]` with `factor` pixels per latent pixel.
pub(crate) fn cut_out(pictures: &Tensor, areas: &[Area], factor: usize) -> Result<Vec<Tensor>> {
    let &[count, channels, height, width] = pictures.shape.as_slice() else {
        return Err(Error::shape("pictures", format!("{:?} is no batch of pictures", pictures.shape)));
    };
    let cut = |area: &Area| {
        let Area { rows, columns } = area.times(factor);
        let shape = [count, channels, rows.len(), columns.len()];
        if rows.end > height || columns.end > width {
            return Err(Error::shape("pictures", format!("{rows:?}, {columns:?} is no part of {height}×{width}")));
        }
        let lines = pictures
            .f32()
            .chunks_exact((height * width).max(1))
            .flat_map(|plane| rows.clone().flat_map(|row| &plane[row * width..][columns.clone()]).collect::<Vec<_>>());
        Tensor::new(&shape, lines.copied().collect())
    };
    areas.iter().map(cut).collect()
}

/// Takes the connected part that `first` belongs to out of `near`; the rectangle around it.
fn connected(size: Size, near: &mut [bool], first: usize) -> Area {
    let at = |place: usize| (place / size.width, place % size.width);
    let single = |(y, x): (usize, usize)| Area { rows: y..y + 1, columns: x..x + 1 };
    let (mut area, mut open) = (single(at(first)), vec![first]);
    near[first] = false;
    while let Some(place) = open.pop() {
        let (y, x) = at(place);
        area = area.with(&single((y, x)));
        let beside = [
            (x > 0).then(|| place - 1),
            (x + 1 < size.width).then_some(place + 1),
            (y > 0).then(|| place - size.width),
            (y + 1 < size.height).then_some(place + size.width),
        ];
        for place in beside.into_iter().flatten() {
            if std::mem::take(&mut near[place]) {
                open.push(place);
            }
        }
    }
    area
}

/// What lies within `distance` of something marked, across corners too.
pub(crate) fn near(size: Size, marked: &[bool], distance: usize) -> Vec<bool> {
    let Size { width, height } = size;
    // A line is looked through forth and back: how far is it to the last marked one?
    let spread = |from: &[bool], to: &mut [bool], first: usize, stride: usize, count: usize| {
        let mut look = |line: &mut dyn Iterator<Item = usize>| {
            let mut last = None::<usize>;
            for at in line.map(|i| first + i * stride) {
                last = if from[at] { Some(0) } else { last.map(|steps| steps + 1) };
                to[at] |= last.is_some_and(|steps| steps <= distance);
            }
        };
        look(&mut (0..count));
        look(&mut (0..count).rev());
    };
    let (mut across, mut near) = (vec![false; marked.len()], vec![false; marked.len()]);
    (0..height).for_each(|y| spread(marked, &mut across, y * width, 1, width));
    (0..width).for_each(|x| spread(&across, &mut near, x, width, height));
    near
}

/// Of every pixel, the steps along rows and columns to the nearest marked one, at most `most`.
pub(crate) fn steps_away(size: Size, marked: impl Fn(usize, usize) -> bool, most: u32) -> Vec<u32> {
    let Size { width, height } = size;
    let start = |(x, y)| if marked(x, y) { 0 } else { most };
    let mut away: Vec<u32> = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(start).collect();
    if width == 0 {
        return away;
    }
    for row in away.chunks_exact_mut(width) {
        for x in 1..width {
            row[x] = row[x].min(row[x - 1].saturating_add(1));
        }
        for x in (1..width).rev() {
            row[x - 1] = row[x - 1].min(row[x].saturating_add(1));
        }
    }
    // Row by row, down and up again: columns one by one would miss the cache at every step.
    let nearer = |from: &[u32], to: &mut [u32]| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).min(from.saturating_add(1)));
    };
    for y in 1..height {
        let (above, row) = away.split_at_mut(y * width);
        nearer(&above[(y - 1) * width..], &mut row[..width]);
    }
    for y in (1..height).rev() {
        let (above, row) = away.split_at_mut(y * width);
        nearer(&row[..width], &mut above[(y - 1) * width..]);
    }
    away
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(size: Size, marked: &[(usize, usize)]) -> Vec<bool> {
        let mut marks = vec![false; size.width * size.height];
        marked.iter().for_each(|(y, x)| marks[y * size.width + x] = true);
        marks
    }

    #[test]
    fn areas_hold_what_is_marked_and_its_halo() {
        let size = Size::new(12, 8);
        let around = |marked: &[(usize, usize)], halo| Area::around(size, &marks(size, marked), halo);
        assert_eq!(around(&[], 3), []);
        assert_eq!(around(&[(2, 5)], 0), [Area { rows: 2..3, columns: 5..6 }]);
        assert_eq!(around(&[(2, 5), (4, 5)], 1), [Area { rows: 1..6, columns: 4..7 }]);
        assert_eq!(around(&[(0, 0)], 2), [Area { rows: 0..3, columns: 0..3 }]);
        assert_eq!(around(&[(7, 11)], 100), [Area::whole(size)]);
    }

    #[test]
    fn parts_far_apart_have_areas_of_their_own() {
        let size = Size::new(20, 20);
        let around = |marked: &[(usize, usize)]| Area::around(size, &marks(size, marked), 1);
        let corners = around(&[(1, 1), (18, 18)]);
        assert_eq!(corners, [Area { rows: 0..3, columns: 0..3 }, Area { rows: 17..20, columns: 17..20 }]);
        // Side by side: one around both is 3 × 7, and both are 3 × 6.
        assert_eq!(around(&[(5, 5), (5, 9)]), [Area { rows: 4..7, columns: 4..11 }]);
        // Many dots are one area.
        let dots: Vec<_> = (0..20).step_by(4).flat_map(|y| (0..20).step_by(4).map(move |x| (y, x))).collect();
        assert_eq!(around(&dots), [Area { rows: 0..18, columns: 0..18 }]);
    }

    #[test]
    fn areas_never_overlap() {
        let size = Size::new(20, 20);
        // A square, and a stroke around its corner that does not touch it.
        let square = (0..6).flat_map(|y| (0..6).map(move |x| (y, x)));
        let stroke = (3..16).map(|y| (y, 12)).chain((3..12).map(|x| (15, x)));
        let marked: Vec<_> = square.chain(stroke).collect();
        let areas = Area::around(size, &marks(size, &marked), 0);
        assert_eq!(areas, [Area { rows: 0..16, columns: 0..13 }]);
    }

    #[test]
    fn what_is_near_lies_in_a_square() {
        let size = Size::new(6, 5);
        for distance in [0, 1, 2, usize::MAX] {
            let found = near(size, &marks(size, &[(1, 4)]), distance);
            let expected = |at: usize| (at / 6).abs_diff(1).max((at % 6).abs_diff(4)) <= distance;
            assert_eq!(found, (0..30).map(expected).collect::<Vec<_>>(), "{distance}");
        }
        assert_eq!(near(size, &[false; 30], 9), [false; 30]);
    }

    #[test]
    fn areas_grow_with_the_picture() {
        let area = Area { rows: 1..3, columns: 0..5 };
        assert_eq!(area.times(4), Area { rows: 4..12, columns: 0..20 });
        assert_eq!((area.size(), area.count()), (Size::new(5, 2), 10));
        let grown = area.grown(2, Size::new(6, 9));
        assert_eq!(grown, Area { rows: 0..5, columns: 0..6 });
        assert_eq!(
            Area { rows: 2..4, columns: 1..6 }.within(&Area { rows: 1..5, columns: 1..6 }),
            Area { rows: 1..3, columns: 0..5 }
        );
    }

    #[test]
    fn steps_are_counted_along_rows_and_columns() {
        let away = steps_away(Size::new(4, 3), |x, y| (x, y) == (1, 0), 3);
        assert_eq!(away, [1, 0, 1, 2, 2, 1, 2, 3, 3, 2, 3, 3]);
        assert_eq!(steps_away(Size::new(2, 1), |_, _| false, 7), [7, 7]);
    }
}
