//! Noise levels chosen directly, instead of through timesteps: the Karras, exponential and beta curves between a
//! largest and a smallest σ, and the way back from a σ to its timestep.

use super::{config::Fields, numpy};
use crate::Result;

/// Which curve the noise levels follow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    /// Even in σ^(1/7) (arXiv 2206.00364, equation 5).
    Karras,
    /// Even in log σ.
    Exponential,
    /// Dense at both ends: quantiles of Beta(0.6, 0.6) (arXiv 2407.12173).
    Beta,
}

/// The `use_*_sigmas` fields, with the range they span where it is not the model's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curves {
    curve: Option<Curve>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Curves {
    /// Reads the three fields. `sigma_min` and `sigma_max` are Euler's, but diffusers keeps the fields of a foreign
    /// config in sight, and every class with these curves follows them.
    pub(super) fn read(fields: &mut Fields) -> Result<Self> {
        let mut curve = None;
        for (name, candidate) in [
            ("use_karras_sigmas", Curve::Karras),
            ("use_exponential_sigmas", Curve::Exponential),
            ("use_beta_sigmas", Curve::Beta),
        ] {
            if fields.flag(name, false)? && curve.replace(candidate).is_some() {
                return Err(fields.refuse(name, &true.into(), "only one of the use_*_sigmas can be set"));
            }
        }
        Ok(Self { curve, min: fields.optional("sigma_min")?, max: fields.optional("sigma_max")? })
    }

    /// Whether a curve is asked for.
    pub(super) fn is_some(&self) -> bool {
        self.curve.is_some()
    }

    /// Whether the levels are even in σ^(1/7).
    pub(super) fn is_karras(&self) -> bool {
        self.curve == Some(Curve::Karras)
    }

    /// `steps` levels from the largest to the smallest, or `None` where no curve is asked for. `max` and `min` are the
    /// range where the config names none.
    pub(super) fn levels(&self, max: f64, min: f64, steps: usize) -> Option<Vec<f64>> {
        let (max, min) = (self.max.unwrap_or(max), self.min.unwrap_or(min));
        let ramp = numpy::linspace(0.0, 1.0, steps).into_iter();
        Some(match self.curve? {
            Curve::Karras => {
                let (high, low) = (max.powf(1.0 / 7.0), min.powf(1.0 / 7.0));
                ramp.map(|r| (high + r * (low - high)).powf(7.0)).collect()
            }
            Curve::Exponential => numpy::linspace(max.ln(), min.ln(), steps).into_iter().map(f64::exp).collect(),
            Curve::Beta => ramp.map(|r| min + beta_quantile(1.0 - r) * (max - min)).collect(),
        })
    }
}

/// The timestep, fractional, at which a model trained with `log_sigmas` (ascending) sees `sigma`; clamped to its range.
pub(super) fn timestep_of(sigma: f64, log_sigmas: &[f32]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    let below = log_sigmas.iter().rposition(|&log| f64::from(log) <= log_sigma).unwrap_or(0);
    let below = below.min(log_sigmas.len().saturating_sub(2));
    let (low, high) = (log_sigmas[below], log_sigmas[(below + 1).min(log_sigmas.len() - 1)]);
    let weight = ((f64::from(low) - log_sigma) / f64::from(low - high)).clamp(0.0, 1.0);
    (1.0 - weight) * below as f64 + weight * (below + 1) as f64
}

/// The natural logarithms of `sigmas`, in f32.
pub(super) fn logs(sigmas: &[f32]) -> Vec<f32> {
    sigmas.iter().map(|&sigma| numpy::log(sigma)).collect()
}

/// Both shape parameters of the beta curve.
const SHAPE: f64 = 0.6;

/// The x below which a share `p` of Beta(0.6, 0.6) lies, by bisection; the distribution mirrors at one half.
fn beta_quantile(p: f64) -> f64 {
    match p {
        _ if p <= 0.0 => return 0.0,
        _ if p > 0.5 => return 1.0 - beta_quantile(1.0 - p),
        _ => (),
    }
    let target = p * 2.0 * beta_mass(0.5);
    let (mut low, mut high) = (0.0, 0.5);
    // Halved until nothing lies between: relative, as the quantiles near zero are tiny.
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return high;
        }
        if beta_mass(middle) < target { low = middle } else { high = middle }
    }
}

/// The integral of t^(a−1) (1−t)^(a−1) over 0 … x, a = 0.6, as its power series: for x ≤ ½ each term is less than half
/// the one before.
fn beta_mass(x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (0.0, 1.0, 0.0);
    while term > 1e-18 {
        sum += term / (SHAPE + n);
        n += 1.0;
        term *= x * (n - SHAPE) / n;
    }
    x.powf(SHAPE) * sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn levels(json: serde_json::Value) -> Option<Vec<f64>> {
        Curves::read(&mut Fields::new("c.json", "Test", &json).unwrap()).unwrap().levels(10.0, 0.1, 5)
    }

    #[test]
    fn curves_fall_from_end_to_end() {
        assert_eq!(levels(json!({})), None);
        for name in ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"] {
            let levels = levels(json!({name: true, "sigma_max": 8.0})).unwrap();
            assert!((levels[0] - 8.0).abs() < 1e-9 && (levels[4] - 0.1).abs() < 1e-9, "{name}: {levels:?}");
            assert!(levels.is_sorted_by(|a, b| a > b), "{name}: {levels:?}");
        }
    }

    #[test]
    fn two_curves_are_refused() {
        let json = json!({"use_karras_sigmas": true, "use_beta_sigmas": true});
        let error = Curves::read(&mut Fields::new("c.json", "Test", &json).unwrap()).unwrap_err().to_string();
        assert!(error.contains("use_beta_sigmas = true: only one"), "{error}");
    }

    /// Against scipy.stats.beta.ppf(p, 0.6, 0.6) of scipy 1.17.1.
    #[test]
    fn beta_quantiles_are_scipys() {
        for (p, expected) in [
            (0.0, 0.0),
            (0.001, 1.855873851745199e-05),
            (0.05, 0.012554456873611399),
            (0.3333333333333333, 0.2754132907776234),
            (0.5, 0.5000000000000001),
            (0.8, 0.8770782495416671),
            (0.9473684210526316, 0.9863289184355307),
            (1.0, 1.0),
        ] {
            let found = beta_quantile(p);
            assert!((found - expected).abs() <= 1e-12 * expected, "{p}: {found} against {expected}");
        }
    }

    #[test]
    fn a_sigma_finds_its_timestep() {
        let log_sigmas = logs(&[0.5, 1.0, 2.0, 4.0]);
        for (sigma, expected) in [(1.0, 1.0), (2.0_f64.sqrt(), 1.5), (0.0, 0.0), (9.0, 3.0)] {
            assert!((timestep_of(sigma, &log_sigmas) - expected).abs() < 1e-6, "{sigma}");
        }
    }
}
