//! Sizes with named sides, so that no caller has to remember an order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Width and height in pixels: of a picture, or of its latents. As text `512x384`, in JSON `[512, 384]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "[usize; 2]", into = "[usize; 2]")]
pub struct Size {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
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

    /// Both sides `factor` times as long.
    pub fn times(self, factor: usize) -> Self {
        Self::new(self.width * factor, self.height * factor)
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

    /// The number of tokens, N.
    pub fn tokens(self) -> usize {
        self.rows * self.columns
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
            // Beyond any picture, and far from overflow in what is computed from it.
            Some([w, h]) if w > 1 << 16 || h > 1 << 16 => Err("no side may exceed 65536".into()),
            Some(size) => Ok(Self::from(size)),
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
}
