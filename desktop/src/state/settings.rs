//! What is remembered from one start to the next.

use serde::{Deserialize, Serialize};

use super::Form;
use crate::engine::{Choice, Preview};

/// Models that are remembered.
const RECENT: usize = 8;

/// Everything that the user has set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The model in use.
    pub choice: Choice,
    /// Models used before, the latest first, as they were named.
    pub recent: Vec<String>,
    /// The form.
    pub form: Form,
    /// How pictures are shown while they are drawn.
    pub preview: Preview,
}

impl Settings {
    /// Remembers that this model was used.
    pub fn remember(&mut self, model: &str) {
        if !model.is_empty() {
            self.recent.retain(|known| known != model);
            self.recent.insert(0, model.to_owned());
            self.recent.truncate(RECENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_model_comes_first_and_once() {
        let mut settings = Settings::default();
        for model in ["a", "b", "", "a", "c", "d", "e", "f", "g", "h", "i"] {
            settings.remember(model);
        }
        assert_eq!(settings.recent, ["i", "h", "g", "f", "e", "d", "c", "a"]);
    }
}
