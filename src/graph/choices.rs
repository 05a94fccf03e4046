//! Which of a kernel's variants a device takes, where that was measured and not only estimated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;

/// Measured choices: for a kernel, and for what it is asked for, the variant that was fastest. Where there is none, a
/// kernel follows its own estimate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<String, BTreeMap<String, String>>);

/// What an op could be recorded as, all with the same result but for rounding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// The kernel.
    pub kernel: &'static str,
    /// What it is asked for: everything that decides which variant is fastest. The same on every device.
    pub case: String,
    /// Names of the variants. The first is the one that is taken where nothing was measured.
    pub variants: Vec<String>,
}

impl Choices {
    /// The variant that was chosen for a case of a kernel.
    pub fn get(&self, kernel: &str, case: &str) -> Option<&str> {
        self.0.get(kernel)?.get(case).map(String::as_str)
    }

    /// Chooses one.
    pub fn insert(&mut self, kernel: &str, case: &str, variant: &str) {
        self.0.entry(kernel.into()).or_default().insert(case.into(), variant.into());
    }

    /// Kernel, case and variant of each choice.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().flat_map(|(kernel, cases)| {
            cases.iter().map(move |(case, variant)| (kernel.as_str(), case.as_str(), variant.as_str()))
        })
    }

    /// A name that changes with what is chosen, eight hexadecimal digits; none where nothing is.
    pub fn name(&self) -> Option<String> {
        let mut hash = Fingerprint::default();
        self.iter().for_each(|(kernel, case, variant)| hash.add_all([kernel, case, variant]));
        (!self.is_empty()).then(|| format!("{:08x}", hash.value() as u32))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_found_and_nothing_else() {
        let mut choices = Choices::default();
        assert!(choices.is_empty() && choices.name().is_none() && choices.get("linear", "8x8x8 f32").is_none());
        choices.insert("linear", "8x8x8 f32", "few");
        choices.insert("attention", "8x8x8 f32", "staged");
        let name = choices.name();
        choices.insert("linear", "8x8x8 f32", "direct");
        assert!(name.is_some() && choices.name() != name);
        assert_eq!((choices.len(), choices.get("linear", "8x8x8 f32")), (2, Some("direct")));
        assert!(choices.get("linear", "8x8x8 f16").is_none());
        let text = serde_json::to_string(&choices).unwrap();
        assert_eq!(text, r#"{"attention":{"8x8x8 f32":"staged"},"linear":{"8x8x8 f32":"direct"}}"#);
        assert_eq!(serde_json::from_str::<Choices>(&text).unwrap(), choices);
        let all: Vec<_> = choices.iter().collect();
        assert_eq!(all[1], ("linear", "8x8x8 f32", "direct"));
    }
}
