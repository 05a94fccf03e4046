//! What a dispatch is likely to cost: how slices are sized, before and while speeds are measured.

use crate::graph::AdapterClass;

/// A shader and its entry point. What a dispatch of either costs beside its estimate is learnt (`pace.rs`).
pub(super) type Kernel = (&'static str, &'static str);

/// Costs are counted in floating-point operations of a matrix product, and in what takes as long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Operations in the time in which a byte is read or written.
    per_byte: f64,
    /// Operations in the time in which a dispatch starts and ends.
    per_dispatch: f64,
    /// What one portion of a divisible dispatch costs at most: a fraction of any budget that such an adapter can keep.
    portion: f64,
    /// Operations in a second, believed before anything is measured. Rather too few: the first slices are then small.
    pub first_speed: f64,
}

/// Portions that a dispatch is divided into at most, for their cost. Each has a uniform of its own.
const MOST_PORTIONS: u32 = 1024;

impl Rates {
    pub fn of(class: AdapterClass) -> Self {
        match class {
            // Lavapipe on two cores does several times `first_speed` in products, and norms as slowly as this.
            AdapterClass::Software => Self { per_byte: 16.0, per_dispatch: 2e5, portion: 2e7, first_speed: 2e9 },
            // From an integrated GPU (a tenth of a TFLOP/s achieved, 20 GB/s) upwards.
            AdapterClass::Hardware => Self { per_byte: 8.0, per_dispatch: 2e6, portion: 2e8, first_speed: 5e10 },
        }
    }

    /// The same, by which every workgroup is a portion.
    #[cfg(any(test, feature = "testing"))]
    pub fn finest(&self) -> Self {
        Self { portion: 1.0, ..*self }
    }

    /// The cost of a dispatch that takes so many operations and touches so many bytes.
    pub fn cost(&self, flops: f64, bytes: u64) -> f64 {
        self.per_dispatch + flops.max(self.per_byte * bytes as f64)
    }

    /// How many portions a divisible dispatch has: none of more workgroups than `most` in a line.
    pub fn portions(&self, cost: f64, workgroups: u32, most: u32) -> u32 {
        let by_cost = ((cost / self.portion).ceil() as u32).min(MOST_PORTIONS);
        by_cost.max(workgroups.div_ceil(most)).clamp(1, workgroups.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_dispatches_have_portions_that_cost_little() {
        let rates = Rates::of(AdapterClass::Hardware);
        let portions = |cost, workgroups| rates.portions(cost, workgroups, 65_535);
        assert_eq!(portions(rates.cost(1e6, 100), 64), 1);
        assert_eq!(portions(rates.cost(87e9, 1 << 20), 9216), 436);
        // A workgroup is never divided.
        assert_eq!(portions(1e12, 3), 3);
        assert_eq!(portions(1e15, 1 << 20), MOST_PORTIONS);
        assert_eq!(portions(1.0, 1 << 20), 17);
        assert_eq!(portions(1.0, 0), 1);
    }
}
