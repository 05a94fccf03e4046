//! A mask that is painted on a picture: strokes, rectangles, and the way back. The app paints it by hand, the browser sends
//! what was painted there.

use image::GrayImage;

use crate::Marks;

/// Changes that can be taken back.
const REMEMBERED: usize = 40;

/// A mask that is painted: what is marked is drawn anew.
#[derive(Clone, Debug, Default)]
pub struct Painting {
    marks: Marks,
    undo: Vec<Marks>,
    redo: Vec<Marks>,
    /// Changes with every change.
    version: u64,
}

/// A place in pixels of the picture.
pub type Place = [f32; 2];

impl Painting {
    /// Nothing marked, on a picture of this size.
    pub fn new(width: u32, height: u32) -> Self {
        Self { marks: Marks::new(width, height), ..Self::default() }
    }

    /// A mask that is there already.
    pub fn of(mask: &GrayImage) -> Self {
        Self { marks: Marks::of(mask), ..Self::default() }
    }

    /// What is marked.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.marks.count() == 0
    }

    /// The share of the picture that is marked.
    pub fn share(&self) -> f32 {
        let (width, height) = self.marks.size();
        self.marks.count() as f32 / (u64::from(width) * u64::from(height)).max(1) as f32
    }

    /// Differs after every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Begins a change, which [`Painting::undo`] takes back whole.
    pub fn begin(&mut self) {
        self.undo.push(self.marks.clone());
        self.redo.clear();
        if self.undo.len() > REMEMBERED {
            self.undo.remove(0);
        }
    }

    /// Marks, or clears, what a round brush of this radius covers on its way between two places.
    pub fn stroke(&mut self, from: Place, to: Place, radius: f32, mark: bool) {
        let way = Way { from: from.map(f64::from), to: to.map(f64::from), radius: f64::from(radius).max(0.5) };
        let (_, height) = self.marks.size();
        let [low, high] = [way.from[1].min(way.to[1]) - way.radius, way.from[1].max(way.to[1]) + way.radius];
        let [top, bottom] = pixels(low, high, height);
        for y in top..bottom {
            if let Some([left, right]) = way.row(f64::from(y) + 0.5) {
                self.row(y, left, right, mark);
            }
        }
        self.version += 1;
    }

    /// Marks, or clears, the rectangle between two corners.
    pub fn rectangle(&mut self, from: Place, to: Place, mark: bool) {
        let [x, y] = [0, 1].map(|axis| [from[axis].min(to[axis]), from[axis].max(to[axis])].map(f64::from));
        let [top, bottom] = pixels(y[0], y[1], self.marks.size().1);
        (top..bottom).for_each(|row| self.row(row, x[0], x[1], mark));
        self.version += 1;
    }

    /// Clears all of it.
    pub fn clear(&mut self) {
        self.begin();
        let (width, height) = self.marks.size();
        self.marks = Marks::new(width, height);
        self.version += 1;
    }

    /// Marks what is not marked, and the other way round.
    pub fn invert(&mut self) {
        self.begin();
        self.marks.invert();
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
            self.redo.push(std::mem::replace(&mut self.marks, before));
            self.version += 1;
        }
    }

    /// Makes the change again that was taken back last.
    pub fn redo(&mut self) {
        if let Some(after) = self.redo.pop() {
            self.undo.push(std::mem::replace(&mut self.marks, after));
            self.version += 1;
        }
    }

    fn row(&mut self, y: u32, left: f64, right: f64, mark: bool) {
        let between = pixels(left, right, self.marks.size().0);
        self.marks.set(y, between, mark);
    }
}

/// The pixels of a line of this length whose middles lie between two places: from the first up to the second.
fn pixels(low: f64, high: f64, length: u32) -> [u32; 2] {
    [(low - 0.5).ceil(), (high - 0.5).floor() + 1.0].map(|at| at.clamp(0.0, f64::from(length)) as u32)
}

/// What a round brush covers between two places: a disc at each end, and the band between them.
struct Way {
    from: [f64; 2],
    to: [f64; 2],
    radius: f64,
}

impl Way {
    /// The part of a line across the picture that it covers. It is convex: there is one.
    fn row(&self, y: f64) -> Option<[f64; 2]> {
        let discs = [self.from, self.to].into_iter().filter_map(|centre| {
            let half = (self.radius.powi(2) - (y - centre[1]).powi(2)).sqrt();
            (half >= 0.0).then_some([centre[0] - half, centre[0] + half])
        });
        discs.chain(self.band(y)).reduce(|[a, b], [c, d]| [a.min(c), b.max(d)])
    }

    fn band(&self, y: f64) -> Option<[f64; 2]> {
        let [x, down] = [0, 1].map(|axis| self.to[axis] - self.from[axis]);
        let length = x.hypot(down);
        let across = [-down, x].map(|part| part / length * self.radius);
        let corner = |[x, y]: [f64; 2], side: f64| [x + side * across[0], y + side * across[1]];
        let corners = [corner(self.from, 1.0), corner(self.to, 1.0), corner(self.to, -1.0), corner(self.from, -1.0)];
        // Where its edges cross the line. Of a brush that stays where it is none does: no number is between two that are
        // not.
        let edges = corners.iter().zip(corners.iter().cycle().skip(1));
        let crossed = edges.filter(|([_, a], [_, b])| a.min(*b) <= y && y <= a.max(*b) && a != b);
        let crossings = crossed.map(|([ax, ay], [bx, by])| ax + (bx - ax) * (y - ay) / (by - ay));
        crossings.map(|x| [x, x]).reduce(|[a, b], [c, d]| [a.min(c), b.max(d)])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::busy;

    fn marked(painting: &Painting) -> Vec<(u32, u32)> {
        let (width, height) = painting.marks.size();
        let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let marked: Vec<_> = all.filter(|&(x, y)| painting.marks.has(x, y)).collect();
        assert_eq!(marked.len() as u64, painting.marks.count());
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
        assert_eq!(marked(&painting).len(), 5);
        assert!((painting.share() - 5.0 / 21.0).abs() < 1e-6);
    }

    #[test]
    fn a_stroke_covers_what_lies_within_the_radius_of_its_way() {
        let places = [[20.3, 30.7], [61.0, 30.7], [20.3, 8.5], [55.5, 66.1], [3.0, 44.0], [20.3, 30.7]];
        for to in places {
            for radius in [0.5, 3.2, 17.9] {
                let mut painting = Painting::new(80, 70);
                painting.stroke(places[0], to, radius, true);
                for (x, y) in (0..80).flat_map(|x| (0..70).map(move |y| (x, y))) {
                    let far =
                        distance([f64::from(x) + 0.5, f64::from(y) + 0.5], places[0].map(f64::from), to.map(f64::from));
                    if (far - f64::from(radius)).abs() > 1e-5 {
                        assert_eq!(painting.marks.has(x, y), far < f64::from(radius), "{x} {y} to {to:?}, {radius}");
                    }
                }
            }
        }
    }

    fn distance(at: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
        let [along, away] = [[0, 1].map(|axis| to[axis] - from[axis]), [0, 1].map(|axis| at[axis] - from[axis])];
        let length = along[0].powi(2) + along[1].powi(2);
        let share =
            if length > 0.0 { ((away[0] * along[0] + away[1] * along[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
        (away[0] - share * along[0]).hypot(away[1] - share * along[1])
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

    /// On a picture of a hundred million pixels.
    #[test]
    fn no_change_takes_longer_than_a_frame() {
        const SIDE: u32 = 10_000;
        type Change = (&'static str, fn(&mut Painting));
        let changes: [Change; 6] = [
            ("a stroke of the largest brush", |painting| {
                painting.begin();
                painting.stroke([2000.0, 3000.0], [7000.0, 8000.0], 5000.0, true);
            }),
            ("a rectangle", |painting| {
                painting.begin();
                painting.rectangle([0.0, 0.0], [1e4, 1e4], true);
            }),
            ("inverting", Painting::invert),
            ("clearing", Painting::clear),
            ("undo", Painting::undo),
            ("redo", Painting::redo),
        ];
        let mut painting = Painting::new(SIDE, SIDE);
        for (what, change) in changes {
            let took = (0..3).map(|_| busy(|| change(&mut painting))).min().unwrap();
            assert!(took < Duration::from_millis(50), "{what} takes {took:?}");
        }
    }
}
