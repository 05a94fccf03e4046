//! Sizes with named sides, so that no caller has to remember an order; and products of sizes that cannot overflow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Width and height in pixels: of a picture, or of its latents. As text `512x384`, in JSON `[512, 384]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Sides", into = "[usize; 2]")]
pub struct Size {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
}

/// The most pixels along a side: beyond any picture, and far from overflow in what is computed from it.
pub(crate) const MOST_SIDE: usize = 1 << 16;

/// A size as JSON has it, before it is checked.
#[derive(Deserialize)]
struct Sides([usize; 2]);

/// The number of elements of a shape; `u64::MAX` where it is beyond that.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    // A zero makes the whole empty, however large the rest is.
    let none = shape.contains(&0);
    if none { 0 } else { shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64)) }
}

/// The bytes of a shape's elements, four each; `u64::MAX` where they are beyond that.
pub(crate) fn bytes(shape: &[usize]) -> u64 {
    elements(shape).saturating_mul(4)
}

/// Rows and columns of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Tokens from top to bottom.
    pub rows: usize,
    /// Tokens from left to right.
    pub columns: usize,
}

impl Size {
    /// A size of this width and height.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// A size of equal sides.
    pub fn square(side: usize) -> Self {
        Self::new(side, side)
    }

    /// Both sides `factor` times as long; as long as can be counted where that overflows.
    pub fn times(self, factor: usize) -> Self {
        Self::new(self.width.saturating_mul(factor), self.height.saturating_mul(factor))
    }

    /// Whether both sides are short enough for a picture.
    fn check(self) -> Result<Self, String> {
        match self.width.max(self.height) {
            longest if longest > MOST_SIDE => Err(format!("no side may exceed {MOST_SIDE}")),
            _ => Ok(self),
        }
    }

    /// Both sides divided by `factor`; none where it does not divide both, or leaves nothing.
    pub fn divided(self, factor: usize) -> Option<Self> {
        let fits = |side: usize| factor > 0 && side > 0 && side.is_multiple_of(factor);
        (fits(self.width) && fits(self.height)).then(|| Self::new(self.width / factor, self.height / factor))
    }
}

impl Grid {
    /// A grid of so many rows and columns.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns }
    }

    /// The number of tokens, N; as many as can be counted where that overflows.
    pub fn tokens(self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// Rows, then columns.
    pub(crate) fn sides(self) -> [usize; 2] {
        [self.rows, self.columns]
    }
}

/// Width, then height.
impl From<[usize; 2]> for Size {
    fn from([width, height]: [usize; 2]) -> Self {
        Self { width, height }
    }
}

impl TryFrom<Sides> for Size {
    type Error = String;

    fn try_from(Sides(sides): Sides) -> Result<Self, String> {
        Self::from(sides).check()
    }
}

/// Rows, then columns.
impl From<[usize; 2]> for Grid {
    fn from([rows, columns]: [usize; 2]) -> Self {
        Self { rows, columns }
    }
}

impl From<Size> for [usize; 2] {
    fn from(Size { width, height }: Size) -> Self {
        [width, height]
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
        match sides {
            Some(size) => Self::from(size).check(),
            None => Err("a size is WIDTHxHEIGHT, such as 512x384".into()),
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.rows, self.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        let size: Size = "512x384".parse().unwrap();
        assert_eq!((size, size.to_string()), (Size::new(512, 384), "512x384".to_owned()));
        assert_eq!(serde_json::to_string(&size).unwrap(), "[512,384]");
        assert_eq!(serde_json::from_str::<Size>("[512,384]").unwrap(), size);
        for bad in ["512", "ax8", "65537x1", "-1x8"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert_eq!(size.divided(8), Some(Size::new(64, 48)));
        assert_eq!((size.divided(10), Size::new(0, 8).divided(8), size.divided(0)), (None, None, None));
    }

    #[test]
    fn absurd_sizes_overflow_nothing() {
        let error = serde_json::from_str::<Size>("[8, 65537]").unwrap_err().to_string();
        assert!(error.contains("no side may exceed 65536"), "{error}");
        assert_eq!(Size::new(usize::MAX, 8).times(8), Size::new(usize::MAX, 64));
        assert_eq!(Grid::new(usize::MAX, 2).tokens(), usize::MAX);
        assert_eq!((elements(&[1 << 20, 1 << 20, 1 << 20, 1 << 20]), bytes(&[3, 5])), (u64::MAX, 60));
        assert_eq!(elements(&[usize::MAX, usize::MAX, 0]), 0);
    }
}
