//! `foveate bench`: its options, and which policies they mean.

use std::sync::Arc;

use foveate::compress::{Choice, Policy, Routers};
use foveate::pipelines::Compress;
use foveate::weights::Format;
use foveate::{Error, Result};

use super::shape::Shape;
use crate::cli::args::{ratio, size};

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
        if let Some(policy) = self.policies.iter().find(|p| matches!(p, Compress::Sdtm | Compress::Tome)) {
            return Err(Error::Usage(format!("the policy {policy} is not in this version")));
        }
        let dense_alone = !self.policies.is_empty() && self.policies.iter().all(|p| *p == Compress::Dense);
        if dense_alone && self.ratio.is_some() {
            return Err(Error::Usage("--ratio: the policy dense computes every token".into()));
        }
        Ok(())
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
        let ratio = self.ratio.or(self.shape.map(|_| RATIO));
        let choice = |policy| Choice { policy, ratio: ratio.filter(|_| policy != Compress::Dense), traced: false };
        all.into_iter().map(|policy| choice(policy).policy(routers)).collect()
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("it is a whole number from 1 to 1024".into()),
    }
}
