//! From what a request says about compression to the policy that does it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Cached, Dense, KeptRatios, Kv, Parameters, Policy, Routed, Routers, Sdtm, StepCache, Tome};
use crate::{Error, Result};

/// A compression policy by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// What the checkpoint was made for: learned routing where it carries routers, else none.
    #[default]
    Auto,
    /// Every token through every layer.
    Dense,
    /// Learned routing.
    Diffcr,
    /// Learned routing at one ratio throughout.
    Mod,
    /// Training-free merging in two stages.
    Sdtm,
    /// Training-free merging.
    Tome,
    /// Pooled keys and values.
    Kv,
}

/// What a request says about compression.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Which policy.
    pub policy: Compress,
    /// Share of the tokens to save: 0.3 computes 70 % of them. None: as the checkpoint was trained, or as published.
    pub ratio: Option<f64>,
    /// The policy's parameters by name, as `--set` gives them.
    pub set: Vec<(String, String)>,
    /// A step cache around the policy.
    pub step_cache: Option<StepCache>,
    /// Decides what the policy draws at random.
    pub seed: u64,
    /// Whether the policy's decisions stay readable after every step (see [`crate::Run::routing`]).
    pub traced: bool,
}

impl Choice {
    /// The policy, for a checkpoint that brings `routers`, or lacks what the message names.
    pub fn policy(&self, routers: &Result<Arc<Routers>, String>) -> Result<Box<dyn Policy>> {
        let policy = self.computed(routers)?;
        Ok(match self.step_cache {
            None => policy,
            Some(cache) => Box::new(Cached { policy, cache }),
        })
    }

    /// Refuses what would be wrong with any model.
    pub fn check(&self) -> Result<()> {
        match self.policy {
            Compress::Auto => Ok(()),
            Compress::Dense if self.ratio.is_some() => self.no_ratio(""),
            Compress::Dense | Compress::Diffcr | Compress::Mod => self.parameters(self.policy).map(drop),
            Compress::Sdtm | Compress::Tome | Compress::Kv => self.computed(&Err(String::new())).map(drop),
        }
    }

    fn computed(&self, routers: &Result<Arc<Routers>, String>) -> Result<Box<dyn Policy>> {
        let chosen = match (self.policy, routers) {
            (Compress::Auto, Ok(_)) => Compress::Diffcr,
            (Compress::Auto, Err(_)) => Compress::Dense,
            (chosen, _) => chosen,
        };
        let parameters = self.parameters(chosen)?;
        match chosen {
            Compress::Auto | Compress::Dense => self.dense(routers),
            Compress::Diffcr => self.diffcr(self.routers(chosen, routers)?),
            Compress::Mod => self.uniform(self.routers(chosen, routers)?),
            Compress::Sdtm => Ok(Box::new(Sdtm::new(parameters, self.seed, self.traced)?)),
            Compress::Tome => Ok(Box::new(Tome::new(parameters, self.seed, self.traced)?)),
            Compress::Kv if self.ratio.is_some() => {
                Err(Error::Usage("--ratio: the policy kv pools keys by its stride, it has no ratio".into()))
            }
            Compress::Kv => Ok(Box::new(Kv::new(parameters)?)),
        }
    }

    /// What was set, and the ratio, where the policy has one among its keys.
    fn parameters(&self, chosen: Compress) -> Result<Parameters> {
        let mut given = self.set.clone();
        if let Some(ratio) = self.ratio.filter(|_| chosen.keys().contains(&"ratio")) {
            given.push(("ratio".into(), ratio.to_string()));
        }
        Parameters::new(chosen.name(), chosen.keys(), &given)
    }

    fn routers(&self, chosen: Compress, routers: &Result<Arc<Routers>, String>) -> Result<Arc<Routers>> {
        let lacks = |missing: &String| Error::Usage(format!("this model cannot run {chosen}: {missing}"));
        routers.clone().map_err(|missing| lacks(&missing))
    }

    /// A dense run has no ratio; asking for one is a misunderstanding.
    fn dense(&self, routers: &Result<Arc<Routers>, String>) -> Result<Box<dyn Policy>> {
        let why = match routers {
            Err(missing) if self.policy == Compress::Auto => format!(" ({missing})"),
            _ => String::new(),
        };
        match self.ratio {
            Some(_) => self.no_ratio(&why),
            None => Ok(Box::new(Dense)),
        }
    }

    fn no_ratio<T>(&self, why: &str) -> Result<T> {
        Err(Error::Usage(format!("--ratio: the policy dense computes every token, it has no ratio{why}")))
    }

    fn diffcr(&self, routers: Arc<Routers>) -> Result<Box<dyn Policy>> {
        let config = &routers.config;
        let ratios = match self.ratio {
            None => config.kept.snapped(&config.bins),
            // What the bins allow is inside the range that was trained; a hair beyond is rounding.
            Some(ratio) if ratio > config.most_saved() + 1e-9 => {
                let most = (1e4 * config.most_saved()).round() / 1e4;
                return Err(Error::Usage(format!("a ratio of {ratio}: this model's bins save {most} at most")));
            }
            Some(ratio) => config.kept.rescaled(1.0 - share(ratio)?, &config.bins),
        };
        Ok(Box::new(Routed { name: "diffcr", routers, ratios, traced: self.traced }))
    }

    fn uniform(&self, routers: Arc<Routers>) -> Result<Box<dyn Policy>> {
        let kept = match self.ratio {
            None => routers.config.kept.snapped(&routers.config.bins).mean(),
            Some(ratio) => 1.0 - share(ratio)?,
        };
        let ratios = KeptRatios::uniform(kept, routers.weights.len());
        Ok(Box::new(Routed { name: "mod", routers, ratios, traced: self.traced }))
    }
}

/// A share of tokens to save, which must leave some.
fn share(ratio: f64) -> Result<f64> {
    match (0.0..1.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err(Error::Usage(format!("a ratio of {ratio}: it is at least 0 and below 1"))),
    }
}

impl Compress {
    /// As `--compress` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dense => "dense",
            Self::Diffcr => "diffcr",
            Self::Mod => "mod",
            Self::Sdtm => "sdtm",
            Self::Tome => "tome",
            Self::Kv => "kv",
        }
    }

    /// The parameters that `--set` knows of it.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Auto | Self::Dense | Self::Diffcr | Self::Mod => &[],
            Self::Sdtm => &Sdtm::KEYS,
            Self::Tome => &Tome::KEYS,
            Self::Kv => &Kv::KEYS,
        }
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compress {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Dense, Self::Diffcr, Self::Mod, Self::Sdtm, Self::Tome, Self::Kv];
        all.into_iter()
            .find(|policy| policy.to_string() == name)
            .ok_or_else(|| Error::Usage(format!("no policy {name:?}: there are dense, diffcr, mod, sdtm, tome, kv")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{DiffcrConfig, Scale, StepAt};

    fn routers() -> Result<Arc<Routers>, String> {
        let kept = KeptRatios::new(vec![vec![0.75, 0.5], vec![1.0, 0.72]], 1000);
        let config = DiffcrConfig { scale: Scale::Mlp, bins: vec![1.0, 0.9, 0.8, 0.7, 0.6, 0.5], kept };
        let weight =
            || crate::graph::Weight { key: "w".into(), shape: vec![1, 8], element: crate::graph::Element::F32 };
        Ok(Arc::new(Routers { config, weights: vec![weight(), weight()] }))
    }

    fn variants(choice: Choice) -> [Vec<usize>; 2] {
        let policy = choice.policy(&routers()).unwrap();
        [900.0, 100.0].map(|timestep| policy.variant(StepAt { index: 0, of: 2, timestep, tokens: 100 }))
    }

    #[test]
    fn diffcr_snaps_and_mod_is_uniform() {
        assert_eq!(variants(Choice::default()), [vec![80, 50], vec![100, 70]]);
        let policy = Compress::Mod;
        assert_eq!(variants(Choice { policy, ratio: Some(0.3), ..Choice::default() }), [vec![70, 70], vec![70, 70]]);
        assert_eq!(
            variants(Choice { policy, ..Choice::default() }),
            [vec![75, 75], vec![75, 75]],
            "the mean of what diffcr keeps"
        );
        assert_eq!(variants(Choice { ratio: Some(0.0), ..Choice::default() }), [vec![100, 100], vec![100, 100]]);
        assert_eq!(variants(Choice { ratio: Some(0.5), ..Choice::default() }), [vec![50, 50], vec![50, 50]]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let dense = Err("there is no \"diffcr\" in its config".to_owned());
        for (choice, routers, reason) in [
            (
                Choice { policy: Compress::Diffcr, ..Choice::default() },
                &dense,
                "cannot run diffcr: there is no \"diffcr\"",
            ),
            (Choice { policy: Compress::Mod, ..Choice::default() }, &dense, "cannot run mod"),
            (Choice { ratio: Some(0.3), ..Choice::default() }, &dense, "it has no ratio (there is no \"diffcr\""),
            (
                Choice { policy: Compress::Sdtm, set: vec![("size".into(), "3".into())], ..Choice::default() },
                &dense,
                "sdtm has no parameter \"size\": it knows ratio, deviation, switch_step",
            ),
            (
                Choice { policy: Compress::Diffcr, set: vec![("ratio".into(), "3".into())], ..Choice::default() },
                &routers(),
                "diffcr has no parameter \"ratio\": it has none",
            ),
            (
                Choice {
                    policy: Compress::Tome,
                    ratio: Some(0.5),
                    set: vec![("ratio".into(), "0.5".into())],
                    ..Choice::default()
                },
                &dense,
                "ratio is set twice",
            ),
            (Choice { ratio: Some(0.6), ..Choice::default() }, &routers(), "save 0.5 at most"),
            (Choice { ratio: Some(-0.1), ..Choice::default() }, &routers(), "at least 0 and below 1"),
            (Choice { policy: Compress::Mod, ratio: Some(1.0), ..Choice::default() }, &routers(), "below 1"),
        ] {
            let error = choice.policy(routers).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
        assert_eq!(Choice::default().policy(&dense).unwrap().name(), "dense");
    }
}
