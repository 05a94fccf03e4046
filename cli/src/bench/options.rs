//! `foveate bench`: its options, and which policies they mean.

use foveate::compress::{AnyPolicy, Compression, Policies, PolicyKind, StepCache, Trained};
use foveate::low_level::weights::Format;
use foveate::{Error, Result, Size};

use super::shape::Shape;
use crate::adapter::Choice;
use crate::values::{self, count, pair, ratio};

/// What random routers save where nothing else is said.
pub const RATIO: f64 = 0.3;

/// What is measured: a model, or a shape, and how it is drawn with.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct What {
    /// A model folder in the diffusers layout [default: $FOVEATE_MODEL, or the bundled model]
    #[arg(long, value_name = "DIR|URL", conflicts_with = "shape")]
    pub model: Option<String>,
    /// Random weights and routers instead of a model: width, layers, heads and tokens (a number, or ROWSxCOLUMNS), and
    /// optionally text (tokens of the prompt, 120) and kind (pixart or dit)
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub shape: Option<Shape>,
    /// Width and height in pixels [default: what the model was trained at]
    #[arg(long, value_name = "WxH", conflicts_with = "shape")]
    pub size: Option<Size>,
    /// Samples of a step; guidance makes two of a picture
    #[arg(long, value_name = "N", default_value = "2", value_parser = count, allow_negative_numbers = true)]
    pub batch: usize,
    /// Share of the tokens to save, such as 0.3 [default: as the checkpoint was trained; of a shape, 0.3]
    #[arg(long, value_name = "F", value_parser = ratio, allow_negative_numbers = true)]
    pub ratio: Option<f64>,
    /// How matrices are stored: f32, f16, bf16, int8 or int4 [default: as the files have them; of a shape, f32]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<Format>,
}

/// `foveate bench`
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(flatten)]
    pub what: What,
    /// Policies to compare with dense, which is always measured, and first [default: those that the checkpoint
    /// was trained for]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub policies: Vec<String>,
    /// A parameter, for those policies that have it; may be repeated with others
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Every policy under this step cache too (see `foveate generate --help`)
    #[arg(long, value_name = "N")]
    pub step_cache: Option<StepCache>,
    /// Rounds; in each, every policy's steps run in turn
    #[arg(long, value_name = "N", default_value = "7", value_parser = count, allow_negative_numbers = true)]
    pub repeats: usize,
    /// Measure the adapter instead of policies: its peaks of multiply-adds and of copying, and the share of them that each
    /// op of DiT-S, B, L and XL reaches, at so many tokens [without a value 256,1024,4096]
    #[arg(long, value_name = "TOKENS,…", value_delimiter = ',', num_args = 0..=1,
        value_parser = clap::value_parser!(u32).range(1..=65536),
        default_missing_value = "256,1024,4096", conflicts_with_all = ["model", "shape", "size", "policies", "ratio",
        "set", "step_cache"])]
    pub roofline: Option<Vec<u32>>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: Choice,
}

impl Bench {
    /// The measurement of dense steps, and of those policies that the checkpoint was trained for.
    pub fn of(what: &What) -> Self {
        let (policies, set, step_cache) = (Vec::new(), Vec::new(), None);
        Self {
            what: what.clone(),
            policies,
            set,
            step_cache,
            repeats: 1,
            roofline: None,
            json: false,
            device: Choice::default(),
        }
    }

    /// Refuses what no model could make sense of.
    pub fn check(&self, policies: &Policies) -> Result<()> {
        let asked = self.policies.iter().map(|name| policies.get(name)).collect::<Result<Vec<_>>>()?;
        if self.what.ratio.is_some() && !asked.is_empty() && asked.iter().all(|kind| kind.no_ratio().is_some()) {
            return Err(Error::Usage("--ratio: none of the policies to be measured has one".into()));
        }
        let set = values::set(&self.set)?;
        if let Some(key) = set.keys().find(|key| !asked.iter().any(|kind| knows(*kind, key))) {
            return Err(Error::Usage(format!("--set {key}: none of the policies to be measured has such a parameter")));
        }
        asked.into_iter().try_for_each(|kind| policies.check(&self.compression(kind, None)?))
    }

    /// The policies of a run, each once, dense first.
    pub fn policies(&self, policies: &Policies, trained: &Trained) -> Result<Vec<AnyPolicy>> {
        let mut asked: Vec<&str> = self.policies.iter().map(String::as_str).collect();
        if asked.is_empty() {
            asked.extend(policies.runnable(trained).filter(|kind| needs_training(*kind)).map(PolicyKind::name));
            if let (true, Some(_)) = (asked.is_empty(), self.what.ratio) {
                let missing = policies.iter().find_map(|kind| kind.lacks(trained)).unwrap_or_default();
                return Err(Error::Usage(format!("--ratio: this model can only run dense: {missing}")));
            }
        }
        let mut all = vec![policies.get("dense")?];
        for name in asked {
            if all.iter().all(|kind| kind.name() != name) {
                all.push(policies.get(name)?);
            }
        }
        let mut made = Vec::new();
        for cache in [None].into_iter().chain(self.step_cache.map(Some)) {
            for kind in &all {
                made.push(policies.policy(&self.compression(*kind, cache)?, trained, 0, false)?);
            }
        }
        Ok(made)
    }

    /// What is asked of one policy.
    fn compression(&self, kind: &dyn PolicyKind, cache: Option<StepCache>) -> Result<Compression> {
        let ratio = match kind.no_ratio() {
            Some(_) => None,
            // Random routers were made for a ratio; what merges has a published one.
            None if needs_training(kind) => self.what.ratio.or(self.what.shape.map(|_| RATIO)),
            None => self.what.ratio,
        };
        let mut set = values::set(&self.set)?;
        set.retain(|key, _| knows(kind, key));
        Ok(Compression { policy: Some(kind.name().into()), ratio, set, cache, masked: None })
    }
}

fn knows(kind: &dyn PolicyKind, key: &str) -> bool {
    kind.parameters().iter().any(|parameter| parameter.name == key)
}

/// Whether only a model that was trained for it can run it.
fn needs_training(kind: &dyn PolicyKind) -> bool {
    kind.lacks(&Trained::default()).is_some()
}
