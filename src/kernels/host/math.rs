//! Functions of f32 that compilers vectorise: no branches, no calls, no fused multiply-adds that some targets lack.

use super::super::Activation;

/// eˣ to 2 units in the last place; below −87 it stays at 1e-38, above 88 at 1e38.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to the nearest whole number, which the sum's lowest bits then hold.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first exact for any whole number it is multiplied with.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.3, 88.3);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2[0] - n * LN2[1];
    // Cephes' polynomial for |r| ≤ ln 2 / 2.
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let p = p * (r * r) + r + 1.0;
    let scale = (rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits());
    p * f32::from_bits(scale)
}

/// The error function to 2e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4 * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let y = 1.0 - p * t * exp(-a * a);
    y.copysign(x)
}

/// Applies an activation to each number.
#[inline(always)]
pub fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Silu => values.iter_mut().for_each(|v| *v /= 1.0 + exp(-*v)),
        // 1 + tanh(u) = 2 / (1 + e⁻²ᵘ)
        Activation::GeluTanh => values.iter_mut().for_each(|v| {
            let u = 0.797_884_6 * (*v + 0.044_715 * *v * *v * *v);
            *v /= 1.0 + exp(-2.0 * u);
        }),
        Activation::GeluErf => {
            values.iter_mut().for_each(|v| *v *= 0.5 * (1.0 + erf(*v * std::f32::consts::FRAC_1_SQRT_2)));
        }
        Activation::Relu => values.iter_mut().for_each(|v| *v = v.max(0.0)),
    }
}

/// Partial sums that a compiler keeps in vectors.
const PARTS: usize = 32;

/// The sum of a function of each number.
#[inline(always)]
pub fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0.0; PARTS];
    let (chunks, rest) = values.as_chunks::<PARTS>();
    for chunk in chunks {
        for (part, &value) in parts.iter_mut().zip(chunk) {
            *part += of(value);
        }
    }
    for (part, &value) in parts.iter_mut().zip(rest) {
        *part += of(value);
    }
    parts.iter().sum()
}

/// Σ aᵢ·bᵢ, in f64: by its last bits tokens are chosen.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    const PARTS: usize = 16;
    let mut parts = [0.0; PARTS];
    let mut add = |a: &[f32], b: &[f32]| {
        for ((part, &a), &b) in parts.iter_mut().zip(a).zip(b) {
            *part += f64::from(a) * f64::from(b);
        }
    };
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<PARTS>(), b.as_chunks::<PARTS>());
    a_chunks.iter().zip(b_chunks).for_each(|(a, b)| add(a, b));
    add(a_rest, b_rest);
    parts.iter().sum()
}

/// The greatest number, at least `f32::MIN`.
#[inline(always)]
pub fn greatest(values: &[f32]) -> f32 {
    let mut parts = [f32::MIN; PARTS];
    let (chunks, rest) = values.as_chunks::<PARTS>();
    for chunk in chunks {
        for (part, &value) in parts.iter_mut().zip(chunk) {
            *part = if value > *part { value } else { *part };
        }
    }
    rest.iter().chain(&parts.clone()).fold(f32::MIN, |most, &value| if value > most { value } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::relative_l2;

    fn close(f: impl Fn(f32) -> f32, expected: impl Fn(f64) -> f64, tolerance: f64) {
        let x: Vec<f32> = (-8000..8000).map(|i| i as f32 * 1e-3).collect();
        let found: Vec<f32> = x.iter().map(|&x| f(x)).collect();
        let expected: Vec<f32> = x.iter().map(|&x| expected(x.into()) as f32).collect();
        assert!(relative_l2(&found, &expected) < tolerance);
    }

    #[test]
    fn functions_are_those_of_the_standard_library() {
        close(exp, f64::exp, 1e-7);
        assert!((exp(-60.0) / (-60f64).exp() as f32 - 1.0).abs() < 1e-6);
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY).is_finite());
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu] {
            let one = |x: f32| {
                let mut values = [x];
                activate(activation, &mut values);
                values[0]
            };
            close(one, |x| activation.apply(x as f32).into(), 3e-7);
        }
    }

    #[test]
    fn sums_and_greatest_of_any_length() {
        for len in [0, 1, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..len).map(|i| -100.0 + i as f32).collect();
            assert_eq!(sum(&values, |v| v + 100.0), (0..len).sum::<usize>() as f32);
            assert_eq!(greatest(&values), values.last().copied().unwrap_or(f32::MIN));
            let ones = vec![1.0; len];
            assert_eq!(dot(&values, &ones), values.iter().map(|&v| f64::from(v)).sum::<f64>());
        }
    }
}
