//! The few numpy and torch functions whose rounding the schedules inherit. A timestep that rounds the other way is
//! another timestep, so these follow their originals operation by operation.

/// `np.linspace(start, stop, points)`: the step is rounded once, the end is exact.
pub(super) fn linspace(start: f64, stop: f64, points: usize) -> Vec<f64> {
    let intervals = points.saturating_sub(1);
    let step = (stop - start) / intervals as f64;
    (0..points)
        .map(|i| match i {
            0 => start,
            _ if i == intervals => stop,
            _ if step == 0.0 => i as f64 / intervals as f64 * (stop - start) + start,
            _ => i as f64 * step + start,
        })
        .collect()
}

/// `np.arange(start, 0, -step)`. The length is rounded up, so that where `start / step` comes out a hair above a whole
/// number there is one element more than meant, and the last is about zero. numpy measures its stride between the
/// first two elements.
pub(super) fn arange_down(start: f64, step: f64) -> Vec<f64> {
    let stride = (start - step) - start;
    (0..(start / step).ceil() as usize).map(|i| start + i as f64 * stride).collect()
}

/// `np.interp(x, range(len(values)), values)`: linear between neighbours, constant beyond the ends.
pub(super) fn interpolate(x: f64, values: &[f32]) -> f64 {
    let last = values.len() - 1;
    if x <= 0.0 {
        return values[0].into();
    }
    if x >= last as f64 {
        return values[last].into();
    }
    let below = x.floor();
    let (low, high) = (f64::from(values[below as usize]), f64::from(values[below as usize + 1]));
    (high - low) * (x - below) + low
}

/// `torch.linspace` in f32: counted from whichever end is nearer, with fused multiply-add.
pub(super) fn linspace_f32(start: f32, stop: f32, points: usize) -> Vec<f32> {
    if points < 2 {
        return vec![start; points];
    }
    let step = (stop - start) / (points - 1) as f32;
    (0..points)
        .map(|i| match i < points / 2 {
            true => step.mul_add(i as f32, start),
            false => (-step).mul_add((points - 1 - i) as f32, stop),
        })
        .collect()
}

/// `torch.cumprod` in f32: the running product is kept in f64, each element rounded.
pub(super) fn cumulative_product(values: impl Iterator<Item = f32>) -> Vec<f32> {
    values
        .scan(1.0_f64, |product, value| {
            *product *= f64::from(value);
            Some(*product as f32)
        })
        .collect()
}

/// `log` of an f32, rounded once. numpy's and torch's own are within a few units in the last place of this.
pub(super) fn log(value: f32) -> f32 {
    f64::from(value).ln() as f32
}

/// `exp` of an f32, rounded once, as [`log`].
pub(super) fn exp(value: f32) -> f32 {
    f64::from(value).exp() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linspace_meets_both_ends() {
        assert_eq!(linspace(0.0, 999.0, 4), [0.0, 333.0, 666.0, 999.0]);
        assert_eq!(linspace(7.0, 3.0, 1), [7.0]);
        assert_eq!(linspace(2.0, 2.0, 3), [2.0; 3]);
    }

    #[test]
    fn arange_has_one_element_too_many_where_numpy_has() {
        for (steps, length) in [(4, 4), (7, 7), (60, 60), (61, 62), (103, 104), (998, 999)] {
            assert_eq!(arange_down(1000.0, 1000.0 / f64::from(steps)).len(), length, "{steps} steps");
        }
    }

    #[test]
    fn interpolation_is_flat_outside() {
        let values = [1.0, 3.0, 4.0];
        assert_eq!([-1.0, 0.5, 1.0, 9.0].map(|x| interpolate(x, &values)), [1.0, 2.0, 3.0, 4.0]);
    }
}
