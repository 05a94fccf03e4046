//! SDTM's schedule: what each step does, and how much of it.

use super::{Sdtm, WINDOW};
use crate::compress::StepAt;

/// What one step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Dense, storing the branches that later steps recall.
    Protected {
        /// Stores those of attention.
        store_attention: bool,
        /// Stores those of the feed-forward.
        store_mlp: bool,
        /// Measures the attention that each token receives: a later step ranks by it.
        watch: bool,
    },
    /// Windows merge.
    Structure {
        /// How many.
        windows: usize,
        /// Whether merged tokens recall a protected step's branches.
        recall: bool,
    },
    /// Single tokens merge.
    Detail {
        /// How many.
        joining: usize,
        /// Whether merged tokens recall a protected step's branches.
        recall: bool,
        /// What tokens merge into.
        rank: Rank,
    },
    /// The schedule asks for nothing.
    Idle,
}

/// What makes a token of a window its destination in the detail stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// No step before this one merged: any will do.
    Any,
    /// It is the oldest.
    Age,
    /// It received most attention in the last protected step, or is old.
    Attention,
}

impl Sdtm {
    /// The share of the tokens that step `index` of `of` merges away.
    fn share(&self, index: usize, of: usize) -> f64 {
        let progress = if of > 1 { index as f64 / (of - 1) as f64 } else { 0.0 };
        (self.ratio - self.deviation) + 2.0 * self.deviation * (progress * std::f64::consts::FRAC_PI_2).cos()
    }

    fn protects(&self, index: usize) -> bool {
        self.protect_every > 0 && index.is_multiple_of(self.protect_every)
    }

    /// Tokens that step `index` may merge away; 0 in a protected one.
    fn merging(&self, index: usize, of: usize, tokens: usize) -> usize {
        // A negative share is none, as the cast has it.
        if self.protects(index) { 0 } else { (tokens as f64 * self.share(index, of)) as usize }
    }

    /// What the step at `step` does.
    pub(super) fn stage(&self, StepAt { index, of, tokens, .. }: StepAt) -> Stage {
        let merges = |step: usize| self.merging(step, of, tokens) > 0;
        if self.protects(index) {
            let later = |last: usize| (index + 1..of.min(last.saturating_add(1))).any(merges);
            let watch = self.attention && (self.switch_step.saturating_add(1).max(index)..of).any(merges);
            return Stage::Protected { store_attention: later(self.switch_step), store_mlp: later(of), watch };
        }
        let recall = (0..index).any(|step| self.protects(step));
        match self.merging(index, of, tokens) {
            0 => Stage::Idle,
            merging if index <= self.switch_step => {
                let windows = merging / self.multiple.saturating_mul(3) * self.multiple;
                Stage::Structure { windows: windows.min(tokens / (WINDOW[0] * WINDOW[1])), recall }
            }
            merging => {
                let most = tokens - tokens / (WINDOW[0] * WINDOW[1]);
                let joining = merging.min(most) / self.multiple * self.multiple;
                let rank = match (self.attention && recall, (0..index).any(merges)) {
                    (true, _) => Rank::Attention,
                    (false, true) => Rank::Age,
                    (false, false) => Rank::Any,
                };
                Stage::Detail { joining, recall, rank }
            }
        }
    }
}

impl Stage {
    /// Tokens that it merges away.
    pub(super) fn merged(&self) -> usize {
        match *self {
            Self::Structure { windows, .. } => 3 * windows,
            Self::Detail { joining, .. } => joining,
            Self::Protected { .. } | Self::Idle => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;
    use crate::compress::{Choice, Parameters, Policies, Policy, PolicyKind, SdtmKind, Trained};

    fn sdtm(given: &[(&str, &str)]) -> Result<Sdtm> {
        let given = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let parameters = Parameters::new("sdtm", SdtmKind.parameters(), given)?;
        let (trained, policies) = (&Trained::default(), &Policies::default());
        Sdtm::new(Choice { parameters, ratio: None, trained, policies, seed: 0, traced: false })
    }

    fn stages(sdtm: &Sdtm, of: usize, tokens: usize) -> Vec<Stage> {
        (0..of).map(|index| sdtm.step(StepAt { index, of, timestep: 0.0, tokens })).collect()
    }

    #[test]
    fn the_published_schedule() {
        let stages = stages(&sdtm(&[]).unwrap(), 50, 1024);
        assert_eq!(stages[0], Stage::Protected { store_attention: true, store_mlp: true, watch: false });
        // 0.1 + 0.4·cos(π/98) of 1024 tokens are 511: ten times 16 windows of three sources.
        assert_eq!(stages[1], Stage::Structure { windows: 160, recall: true });
        assert_eq!(stages[20], Stage::Structure { windows: 128, recall: true });
        assert_eq!(stages[21], Stage::Protected { store_attention: false, store_mlp: true, watch: false });
        assert_eq!(stages[22], Stage::Detail { joining: 400, recall: true, rank: Rank::Age });
        assert_eq!(stages[48], Stage::Protected { store_attention: false, store_mlp: true, watch: false });
        assert_eq!(stages[49], Stage::Detail { joining: 96, recall: true, rank: Rank::Age }, "a tenth, in sixteens");
    }

    #[test]
    fn nothing_is_kept_that_nobody_recalls() {
        let one = sdtm(&[("protect_every", "2"), ("switch_step", "1"), ("multiple", "1")]).unwrap();
        let kept = |store_attention, store_mlp| Stage::Protected { store_attention, store_mlp, watch: false };
        let stages = stages(&one, 5, 64);
        assert_eq!([stages[0], stages[2], stages[4]], [kept(true, true), kept(false, true), kept(false, false)]);
        let never = sdtm(&[("protect_every", "0"), ("switch_step", "0"), ("multiple", "4")]).unwrap();
        assert_eq!(
            tests::stages(&never, 3, 64),
            [
                Stage::Structure { windows: 8, recall: false },
                Stage::Detail { joining: 24, recall: false, rank: Rank::Age },
                Stage::Detail { joining: 4, recall: false, rank: Rank::Age },
            ]
        );
    }

    #[test]
    fn attention_is_watched_where_detail_follows() {
        let watching = sdtm(&[("attentiveness", "attention"), ("protect_every", "3"), ("switch_step", "4")]).unwrap();
        let stages = stages(&watching, 9, 1024);
        let watched = stages.iter().map(|stage| matches!(stage, Stage::Protected { watch: true, .. }));
        assert_eq!(watched.collect::<Vec<_>>(), [true, false, false, true, false, false, true, false, false]);
        assert!(matches!(stages[5], Stage::Detail { rank: Rank::Attention, .. }));
        let unprotected =
            sdtm(&[("attentiveness", "attention"), ("protect_every", "0"), ("switch_step", "0")]).unwrap();
        let rank = |step: usize| match tests::stages(&unprotected, 9, 1024)[step] {
            Stage::Detail { rank, .. } => Some(rank),
            _ => None,
        };
        assert_eq!([rank(0), rank(1)], [None, Some(Rank::Age)], "there is no attention to go by");
        let refused = sdtm(&[("attentiveness", "love")]).unwrap_err().to_string();
        assert!(refused.contains("attentiveness = love: it is age or attention"), "{refused}");
    }

    #[test]
    fn no_more_windows_merge_than_there_are() {
        for (ratio, deviation, multiple) in [("0.6", "0.2", "16"), ("0.9", "0.9", "1"), ("0.9", "0.9", "7")] {
            let most = sdtm(&[("ratio", ratio), ("deviation", deviation), ("multiple", multiple)]).unwrap();
            let stages = stages(&most, 50, 1024);
            let windows = stages.iter().filter_map(|stage| match stage {
                Stage::Structure { windows, .. } => Some(*windows),
                _ => None,
            });
            assert_eq!(windows.max(), Some(256), "{ratio} {deviation}");
        }
        let huge = usize::MAX.to_string();
        assert_eq!(
            stages(&sdtm(&[("multiple", &huge)]).unwrap(), 2, 1024)[1],
            Stage::Structure { windows: 0, recall: true }
        );
    }

    #[test]
    fn few_tokens_merge_none() {
        let published = sdtm(&[]).unwrap();
        // 0.1 of 64 tokens are 6, of which no 48 can be made.
        let stages = stages(&published, 2, 64);
        assert_eq!(stages[1], Stage::Structure { windows: 0, recall: true });
        let warned = |index, of, tokens| {
            let step = published.step(StepAt { index, of, timestep: 0.0, tokens });
            published.warning(&[&step], tokens).map(|warning| warning.to_string())
        };
        assert!(warned(1, 2, 64).unwrap().contains("no step has 16 windows or tokens of 64"));
        assert!(warned(0, 1, 1024).unwrap().contains("every step is protected, or its share is 0"));
        assert_eq!(warned(1, 50, 1024), None);
        let idle = sdtm(&[("ratio", "0.1"), ("deviation", "0.1")]).unwrap();
        assert_eq!(tests::stages(&idle, 2, 64)[1], Stage::Idle);
        let below = sdtm(&[("ratio", "0.1"), ("deviation", "0.5")]).unwrap();
        assert_eq!(tests::stages(&below, 2, 64)[1], Stage::Idle, "less than nothing is nothing");
    }

    #[test]
    fn what_a_step_saves() {
        let sdtm = sdtm(&[]).unwrap();
        assert_eq!(sdtm.saved(&Stage::Structure { windows: 16, recall: true }, 96, 8), Some(0.5));
        assert_eq!(sdtm.saved(&Stage::Idle, 96, 8), Some(0.0));
    }

    #[test]
    fn parameters_are_checked() {
        for (given, reason) in [
            (("protect_every", "-1"), "protect_every = -1: it is a whole number"),
            (("cache_weight", "1.5"), "cache_weight = 1.5: it is from 0 to 1"),
            (("multiple", "0"), "multiple = 0: it is at least 1"),
            (("ratio", "1"), "ratio = 1"),
            (("deterministic", "yes"), "true or false"),
        ] {
            let error = sdtm(&[given]).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{error}");
        }
    }
}
