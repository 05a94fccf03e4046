//! Which of the training timesteps a run visits (arXiv 2305.08891, table 2).

use super::{config::Fields, numpy};
use crate::Result;

/// A `timestep_spacing`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spacing {
    /// Evenly from the last to the first.
    Linspace,
    /// The start of every interval, so that the noisiest is missed.
    Leading,
    /// The end of every interval, so that the cleanest is missed.
    Trailing,
}

/// The rule by which timesteps are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Timesteps {
    /// Where in its interval each lies.
    pub spacing: Spacing,
    /// Added where the spacing is leading.
    offset: i64,
}

impl Timesteps {
    /// Reads `timestep_spacing` and `steps_offset`.
    pub fn read(fields: &mut Fields, default: &str) -> Result<Self> {
        let names = [("linspace", Spacing::Linspace), ("leading", Spacing::Leading), ("trailing", Spacing::Trailing)];
        let spacing = fields.choice("timestep_spacing", default, &names)?;
        Ok(Self { spacing, offset: fields.integer("steps_offset", 0)? })
    }

    /// `points` timesteps below `end`, the noisiest first. All are whole numbers but those of linspace.
    ///
    /// Trailing timesteps are `stride` apart, and for some strides there is one more than `points`, which is −1: see
    /// `numpy::arange_down`. diffusers makes that step too.
    pub fn descending(&self, end: usize, points: usize, stride: f64) -> Vec<f64> {
        match self.spacing {
            Spacing::Linspace => numpy::linspace(0.0, end as f64 - 1.0, points).into_iter().rev().collect(),
            Spacing::Leading => {
                let ratio = end / points.max(1);
                (0..points).rev().map(|i| (i * ratio) as f64 + self.offset as f64).collect()
            }
            Spacing::Trailing => {
                numpy::arange_down(end as f64, stride).into_iter().map(|t| t.round_ties_even() - 1.0).collect()
            }
        }
    }

    /// `steps` whole timesteps of `train`, as DDIM and DDPM visit them.
    pub fn whole(&self, train: usize, steps: usize) -> Vec<i64> {
        let stride = train as f64 / steps as f64;
        self.descending(train, steps, stride).into_iter().map(|t| t.round_ties_even() as i64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(spacing: Spacing, steps: usize) -> Vec<i64> {
        Timesteps { spacing, offset: 1 }.whole(1000, steps)
    }

    #[test]
    fn spacings_are_those_of_the_paper() {
        assert_eq!(whole(Spacing::Linspace, 4), [999, 666, 333, 0]);
        assert_eq!(whole(Spacing::Leading, 4), [751, 501, 251, 1]);
        assert_eq!(whole(Spacing::Trailing, 4), [999, 749, 499, 249]);
    }

    #[test]
    fn halves_round_to_even() {
        // 999/2 = 499.5 and 1000/16 = 62.5.
        assert_eq!(whole(Spacing::Linspace, 3), [999, 500, 0]);
        assert_eq!(whole(Spacing::Trailing, 16)[13..], [187, 124, 61]);
    }

    #[test]
    fn trailing_may_step_below_zero() {
        assert_eq!(whole(Spacing::Trailing, 61).len(), 62);
        assert_eq!(whole(Spacing::Trailing, 61).last(), Some(&-1));
    }
}
