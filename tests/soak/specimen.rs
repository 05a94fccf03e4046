//! What is drawn: a model, a device and a request, all of which follow from a number, so that another process draws the
//! same.

use foveate::{Compression, Request, Size};

use crate::chance::Chance;

/// The models, by their goldens, and whether they draw classes: dense and routed ones, of both families.
const MODELS: [(&str, bool); 5] = [
    ("dit_ddim", true),
    ("pixart_alpha", false),
    ("pixart_sigma", false),
    ("routed/dit_mlp", true),
    ("routed/pixart_sigma_mlp", false),
];
const SIZES: [[usize; 2]; 5] = [[16, 16], [32, 16], [32, 32], [48, 32], [64, 48]];
const PROMPTS: [&str; 3] = ["a red house", "ein Haus über dem Fluß", ""];
const SCHEDULERS: [Option<&str>; 4] = [None, Some("ddim"), Some("dpm-solver++"), Some("euler")];

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Specimen(u64);

impl Specimen {
    pub fn of(number: u64) -> Self {
        Self(number)
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// Every third is drawn on the GPU, the others on the processor.
    pub fn on_gpu(self) -> bool {
        self.0.is_multiple_of(3)
    }

    /// Its model's golden.
    pub fn model(self) -> &'static str {
        MODELS[self.0 as usize % MODELS.len()].0
    }

    pub fn steps(self) -> usize {
        2 + self.0 as usize % 3
    }

    /// What is asked of the model, which runs these policies.
    pub fn request(self, policies: &[&str]) -> Request {
        let mut chance = Chance::new(self.0);
        let policy = policies[chance.below(policies.len() as u64) as usize];
        let compression = Compression::policy(policy);
        let compression = if policy == "sdtm" { compression.with("multiple", 1) } else { compression };
        let cache = chance.one_in(4).then(|| "every=2,first=1,last=0".parse().unwrap());
        let (_, classes) = MODELS[self.0 as usize % MODELS.len()];
        let [width, height] = chance.of(&SIZES);
        Request {
            prompt: if classes { String::new() } else { chance.of(&PROMPTS).into() },
            class: classes.then(|| chance.below(8) as u32),
            steps: Some(self.steps()),
            seed: self.0,
            size: Some(Size::new(width, height)),
            count: Some(1 + chance.below(2) as usize),
            scheduler: chance.of(&SCHEDULERS).map(str::to_owned),
            guidance: chance.one_in(3).then_some(1.0),
            compression: Compression { cache, ..compression },
            traced: chance.one_in(4),
            ..Request::default()
        }
    }
}
