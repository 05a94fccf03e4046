//! What pictures are drawn with: a model and a device, as the user chose them.

use foveate::low_level::weights::Format;
use foveate::{Error, Result, Source};
use foveate_studio::model::{BUNDLED, bundled};
use serde::{Deserialize, Serialize};

/// How the matrices of a model are stored on the device. As text: "files", a format, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Option<String>", into = "Option<String>")]
pub enum Storage {
    /// In the most exact format that fits the memory of the device.
    #[default]
    Fitting,
    /// As in the files.
    AsInFiles,
    /// In this format.
    As(Format),
}

/// How a [`Storage`] that is as in the files is written.
const FILES: &str = "files";

impl TryFrom<Option<String>> for Storage {
    type Error = Error;

    fn try_from(text: Option<String>) -> Result<Self> {
        match text.as_deref() {
            None => Ok(Self::Fitting),
            Some(FILES) => Ok(Self::AsInFiles),
            Some(format) => format.parse().map(Self::As),
        }
    }
}

impl From<Storage> for Option<String> {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Fitting => None,
            Storage::AsInFiles => Some(FILES.into()),
            Storage::As(format) => Some(format.to_string()),
        }
    }
}

/// Which model, stored how, on which device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// A folder or an address; empty: the bundled model.
    pub model: String,
    /// How matrices are stored.
    pub dtype: Storage,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_come_back_and_damaged_ones_are_refused() {
        for (dtype, text) in
            [(Storage::Fitting, "null"), (Storage::AsInFiles, "\"files\""), (Storage::As(Format::Int8), "\"int8\"")]
        {
            assert_eq!(serde_json::to_string(&dtype).unwrap(), text);
            assert_eq!(serde_json::from_str::<Storage>(text).unwrap(), dtype);
        }
        assert!(serde_json::from_str::<Storage>("\"fp8\"").is_err());
    }
}
