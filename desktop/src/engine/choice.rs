//! What pictures are drawn with: a model and a device, as the user chose them.

use foveate::low_level::weights::Format;
use foveate::{Error, Result, Source};
use foveate_studio::model::{BUNDLED, bundled};
use serde::{Deserialize, Serialize};

/// Which model, stored how, on which device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// A folder or an address; empty: the bundled model.
    pub model: String,
    /// How matrices are stored. None: as the files have them.
    pub dtype: Option<Format>,
    /// Part of an adapter's name, or "cpu". None: the GPU that the window is shown by; the processor where that is
    /// none.
    pub adapter: Option<String>,
}

impl Choice {
    /// Where its files are.
    pub fn source(&self) -> Result<Source> {
        match self.model.as_str() {
            "" => bundled()
                .map(Source::Folder)
                .ok_or_else(|| Error::file(BUNDLED, "the bundled model is not beside this program")),
            named => Ok(Source::parse(named)),
        }
    }
}
