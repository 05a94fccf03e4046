//! `foveate bench`: its options, and which policies they mean.

use std::sync::Arc;

use foveate::compress::{Choice, Policy, Routers, StepCache};
use foveate::pipelines::Compress;
use foveate::weights::Format;
use foveate::{Error, Result};

use super::shape::Shape;
use crate::values::{pair, ratio, size};

/// What random routers save where nothing else is said.
pub const RATIO: f64 = 0.3;

/// `foveate bench`
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// A model folder in the diffusers layout [default: $FOVEATE_MODEL, or the bundled model]
    #[arg(long, value_name = "DIR|URL", conflicts_with = "shape")]
    pub model: Option<String>,
    /// Random weights and routers instead: width, layers, heads, tokens (a number, or ROWSxCOLUMNS), and where wanted
    /// text (tokens of the prompt, 120) and kind (pixart or dit)
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub shape: Option<Shape>,
    /// Width and height in pixels [default: what the model was trained at]
    #[arg(long, value_name = "WxH", value_parser = size, conflicts_with = "shape")]
    pub size: Option<[usize; 2]>,
    /// Samples of a step; guidance makes two of a picture
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    pub batch: usize,
    /// Policies to hold against dense, which is always measured and told first [default: all that the checkpoint can run]
    #[arg(long, value_name = "POLICY,…", value_delimiter = ',')]
    pub policies: Vec<Compress>,
    /// Share of the tokens to save, such as 0.3 [default: as the checkpoint was trained; of a shape, 0.3]
    #[arg(long, value_name = "F", value_parser = ratio, allow_negative_numbers = true)]
    pub ratio: Option<f64>,
    /// A parameter, of those among the policies that know it; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Every policy under this step cache too (see `foveate generate --help`)
    #[arg(long, value_name = "N")]
    pub step_cache: Option<StepCache>,
    /// How matrices are stored: f32, f16, int8 or int4 [default: as the files have them; of a shape, f32]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<Format>,
    /// Rounds; in each, every policy's steps run in turn
    #[arg(long, value_name = "N", default_value = "7", value_parser = count)]
    pub repeats: usize,
    /// Tell it as JSON
    #[arg(long)]
    pub json: bool,
    /// Part of the adapter's name (see `foveate devices`)
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
}

impl Bench {
    /// Refuses what no model could make sense of.
    pub fn check(&self) -> Result<()> {
        let has_ratio = |policy: &Compress| !matches!(policy, Compress::Dense | Compress::Kv);
        if self.ratio.is_some() && !self.policies.is_empty() && !self.policies.iter().any(has_ratio) {
            return Err(Error::Usage("--ratio: none of the policies to be measured has one".into()));
        }
        if let Some((key, _)) = self.set.iter().find(|(key, _)| !self.policies.iter().any(|policy| knows(*policy, key)))
        {
            return Err(Error::Usage(format!("--set {key}: none of the policies to be measured has such a parameter")));
        }
        self.policies.iter().try_for_each(|policy| self.choice(*policy, None).check())
    }

    /// The policies of a run, each once, dense first.
    pub fn policies(&self, routers: &Result<Arc<Routers>, String>) -> Result<Vec<Box<dyn Policy>>> {
        let asked = match (&self.policies[..], routers) {
            ([], Ok(_)) => &[Compress::Diffcr, Compress::Mod],
            (asked, _) => asked,
        };
        if let (Some(_), [], Err(missing)) = (self.ratio, asked, routers) {
            return Err(Error::Usage(format!("--ratio: this model can only run dense: {missing}")));
        }
        let mut all = vec![Compress::Dense];
        for &policy in asked {
            if !all.contains(&policy) {
                all.push(policy);
            }
        }
        let caches = [None].into_iter().chain(self.step_cache.map(Some));
        caches
            .flat_map(|cache| all.iter().map(move |policy| self.choice(*policy, cache)))
            .map(|choice| choice.policy(routers))
            .collect()
    }

    /// What is asked of one policy.
    fn choice(&self, policy: Compress, step_cache: Option<StepCache>) -> Choice {
        let ratio = match policy {
            Compress::Dense | Compress::Kv => None,
            // Random routers were made for a ratio; what merges has a published one.
            Compress::Auto | Compress::Diffcr | Compress::Mod => self.ratio.or(self.shape.map(|_| RATIO)),
            Compress::Sdtm | Compress::Tome => self.ratio,
        };
        let set = self.set.iter().filter(|(key, _)| knows(policy, key)).cloned().collect();
        Choice { policy, ratio, set, step_cache, ..Choice::default() }
    }
}

fn knows(policy: Compress, key: &str) -> bool {
    policy.keys().contains(&key)
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("it is a whole number from 1 to 1024".into()),
    }
}
