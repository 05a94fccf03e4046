//! How many tokens each layer keeps, region by region of the timesteps (DiffCR, arXiv 2412.16822).

/// Two ratios closer than this are one: a tie between bins is decided by the rule, not by rounding.
const SAME: f64 = 1e-9;

/// Kept ratios `[regions, L]`, each in (0, 1]; the first region is the noisiest.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRatios {
    rows: Vec<Vec<f64>>,
    train_timesteps: f64,
}

/// k = clamp(⌈r·N − 1e-4⌉, 1, N): the 1e-4 keeps a ratio's rounding error from adding a token.
pub fn kept_tokens(ratio: f64, tokens: usize) -> usize {
    ((ratio * tokens as f64 - 1e-4).ceil() as usize).clamp(1, tokens.max(1))
}

/// The bin nearest to `ratio`; of two as near, the larger.
fn snap(ratio: f64, bins: &[f64]) -> f64 {
    let nearer = |best: f64, bin: f64| {
        let (old, new) = ((best - ratio).abs(), (bin - ratio).abs());
        if new < old - SAME || (new <= old + SAME && bin > best) { bin } else { best }
    };
    bins.iter().copied().reduce(nearer).unwrap_or(ratio)
}

impl KeptRatios {
    /// The ratios in `rows`, all of one length, of a model trained over so many timesteps.
    pub fn new(rows: Vec<Vec<f64>>, train_timesteps: usize) -> Self {
        Self { rows, train_timesteps: train_timesteps as f64 }
    }

    /// One ratio throughout.
    pub fn uniform(ratio: f64, layers: usize) -> Self {
        Self { rows: vec![vec![ratio; layers]], train_timesteps: 1.0 }
    }

    /// The number of layers, L.
    pub fn layers(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// The matrix.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// The mean over all layers and regions.
    pub fn mean(&self) -> f64 {
        let all: Vec<f64> = self.rows.concat();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    }

    /// region(t) = min(regions − 1, ⌊(train_timesteps − 1 − t) · regions / train_timesteps⌋).
    pub fn region(&self, timestep: f32) -> usize {
        let passed = self.train_timesteps - 1.0 - f64::from(timestep);
        let region = (passed * self.rows.len() as f64 / self.train_timesteps).floor();
        (region.max(0.0) as usize).min(self.rows.len().saturating_sub(1))
    }

    /// The noisiest and the cleanest of a region's whole timesteps.
    pub fn timesteps(&self, region: usize) -> [f64; 2] {
        let passed = |region: usize| (region as f64 * self.train_timesteps / self.rows.len() as f64).ceil();
        [self.train_timesteps - 1.0 - passed(region), self.train_timesteps - passed(region + 1)]
    }

    /// The ratios of all layers at a timestep.
    pub fn at(&self, timestep: f32) -> &[f64] {
        self.rows.get(self.region(timestep)).map_or(&[], Vec::as_slice)
    }

    /// Every ratio at its nearest bin; of two as near, the larger.
    pub fn snapped(&self, bins: &[f64]) -> Self {
        let rows = self.rows.iter().map(|row| row.iter().map(|&ratio| snap(ratio, bins)).collect());
        Self { rows: rows.collect(), ..*self }
    }

    /// The matrix moved toward another mean: every ratio times one factor, kept between the lowest bin and 1, and
    /// snapped. The factor is the one whose snapped mean comes nearest to `mean`.
    pub fn rescaled(&self, mean: f64, bins: &[f64]) -> Self {
        let lowest = bins.iter().copied().fold(1.0, f64::min);
        let scaled = |factor: f64| {
            let rows = self.rows.iter().map(|row| row.iter().map(|r| (r * factor).clamp(lowest, 1.0)).collect());
            Self { rows: rows.collect(), ..*self }.snapped(bins)
        };
        let smallest = self.rows.iter().flatten().copied().fold(1.0, f64::min);
        // At the ends every ratio is at its least or most; between, the snapped mean climbs in steps.
        let (mut low, mut high) = (0.0, 2.0 / smallest.max(SAME));
        for _ in 0..64 {
            let middle = 0.5 * (low + high);
            match scaled(middle).mean() < mean {
                true => low = middle,
                false => high = middle,
            }
        }
        let [below, above] = [low, high].map(scaled);
        if mean - below.mean() < above.mean() - mean - SAME { below } else { above }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINS: [f64; 8] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

    #[test]
    fn tokens_of_every_bin() {
        assert_eq!(BINS.map(|r| kept_tokens(r, 1024)), [1024, 922, 820, 717, 615, 512, 410, 308]);
        assert_eq!(kept_tokens(0.7, 10), 7, "0.7 · 10 is above 7 by rounding");
        assert_eq!(kept_tokens(1e-6, 5), 1);
        for tokens in [10, 1000, 40_960, 65_530] {
            for tenths in 1..=10 {
                assert_eq!(kept_tokens(1.0 - (10 - tenths) as f64 / 10.0, tokens), tokens * tenths / 10);
            }
        }
    }

    #[test]
    fn ratios_snap_to_the_nearest_bin_and_ties_to_the_larger() {
        for (ratio, bin) in [(0.74, 0.7), (0.76, 0.8), (0.1, 0.3), (1.0, 1.0)] {
            assert_eq!(snap(ratio, &BINS), bin);
        }
        for tenths in 3..10 {
            let middle = f64::from(tenths) / 10.0 + 0.05;
            assert_eq!(snap(middle, &BINS), f64::from(tenths + 1) / 10.0, "{middle}");
            let mut rising = BINS;
            rising.reverse();
            assert_eq!(snap(middle, &rising), f64::from(tenths + 1) / 10.0, "{middle}");
        }
    }

    #[test]
    fn regions_are_equally_wide_and_the_first_is_the_noisiest() {
        let ratios = KeptRatios::new(vec![vec![0.3], vec![0.5], vec![0.7], vec![0.9]], 1000);
        let found = [999.0, 750.0, 749.0, 500.0, 499.5, 250.0, 249.0, 0.0].map(|t| ratios.region(t));
        assert_eq!(found, [0, 0, 1, 1, 1, 2, 3, 3]);
        assert_eq!(ratios.region(1000.0), 0, "beyond the noisiest");
        assert_eq!(ratios.region(-1.0), 3);
        assert_eq!(ratios.at(999.0), [0.3]);
        assert_eq!(
            [0, 1, 2, 3].map(|region| ratios.timesteps(region)),
            [[999.0, 750.0], [749.0, 500.0], [499.0, 250.0], [249.0, 0.0]]
        );
        let thirds = KeptRatios::new(vec![vec![0.3]; 3], 1000);
        for region in 0..3 {
            assert_eq!(thirds.timesteps(region).map(|t| thirds.region(t as f32)), [region; 2]);
        }
    }

    #[test]
    fn rescaling_reaches_the_mean_as_near_as_bins_allow() {
        let ratios = KeptRatios::new(vec![vec![1.0, 0.7, 0.5, 0.8], vec![0.6, 0.9, 0.4, 1.0]], 1000);
        for mean in [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] {
            let scaled = ratios.rescaled(mean, &BINS);
            assert!((scaled.mean() - mean).abs() <= 0.05, "{mean}: {}", scaled.mean());
            assert!(scaled.rows().concat().iter().all(|r| BINS.contains(r)));
        }
        assert_eq!(ratios.rescaled(ratios.mean(), &BINS), ratios, "its own mean changes nothing");
        let order = ratios.rescaled(0.5, &BINS);
        assert!(order.rows()[0][0] >= order.rows()[0][1] && order.rows()[0][1] >= order.rows()[0][2]);
    }
}
