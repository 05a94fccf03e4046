//! Measured choices between the variants of kernels: which tile of a matrix product is fastest for these shapes, on this
//! adapter, with this driver.
//!
//! Without a measurement a kernel follows an estimate (`src/kernels/tiles.rs`). [`tune`] measures the variants for the
//! shapes that a model asks for, and [`Gpu::with_tuning`] takes what it found. Nothing is measured unasked. Variants differ
//! in rounding, so a picture drawn with another tuning may differ in its last bits.

mod cases;
mod rival;
mod shared;
mod trial;
mod tuner;

use serde::{Deserialize, Serialize};

pub use shared::shared;
pub use tuner::{Found, Progress, tune};

use crate::fingerprint::Fingerprint;
use crate::graph::{Caps, Choices};
use crate::kernels::fingerprint;
use crate::{Error, Gpu, Result};

/// What was measured on one adapter: the file that is kept, and shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Of Foveate.
    pub version: String,
    /// The adapter's own name.
    pub adapter: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Of the shaders that were measured: see [`fingerprint`].
    pub shaders: String,
    /// What is chosen.
    pub choices: Choices,
    /// Each case as it was measured, the one with the most work first.
    pub measured: Vec<Found>,
}

impl Tuning {
    /// Nothing measured yet, on a device with `caps`.
    pub fn new(caps: &Caps) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            adapter: caps.name.clone(),
            backend: caps.backend.clone(),
            driver: caps.driver.clone(),
            shaders: fingerprint(),
            choices: Choices::default(),
            measured: Vec::new(),
        }
    }

    /// Reads what [`Tuning::json`] wrote.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Usage(format!("this is no tuning: {error}")))
    }

    /// As a file has it.
    pub fn json(&self) -> String {
        // Strings, numbers and maps of strings: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Whether it was measured on such a device, with these shaders.
    pub fn fits(&self, caps: &Caps) -> bool {
        let Caps { name, backend, driver, .. } = caps;
        (&self.adapter, &self.backend, &self.driver) == (name, backend, driver) && self.shaders == fingerprint()
    }

    /// The name of the file that holds what was measured on a device with `caps`: another one for another adapter, driver
    /// or set of shaders.
    pub fn file_name(caps: &Caps) -> String {
        let Caps { name, backend, driver, .. } = caps;
        let mut hash = Fingerprint::default();
        hash.add_all([name, backend, driver, &fingerprint()]);
        let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        let plain: String = plain.take(40).collect();
        let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
        format!("{}-{:08x}.json", words.join("-"), hash.value() as u32)
    }
}

impl Gpu {
    /// The same device, whose kernels take the variants of `tuning`. Fails where that was measured on another one, or
    /// with other shaders. What is loaded and drawn by the returned handle follows it.
    pub fn with_tuning(&self, tuning: &Tuning) -> Result<Self> {
        if !tuning.fits(self.caps()) {
            let Tuning { adapter, driver, .. } = tuning;
            let reason = format!("the tuning is of {adapter} ({driver}), of another driver, or of other shaders");
            return Err(Error::Usage(reason));
        }
        Ok(self.choosing(tuning.choices.clone()))
    }

    /// The same device, whose kernels follow their estimates.
    pub fn untuned(&self) -> Self {
        self.choosing(Choices::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuning_is_for_one_adapter_driver_and_set_of_shaders() {
        let caps = Caps { name: "Some GPU".into(), driver: "1.2".into(), ..Caps::minimum() };
        let mut tuning = Tuning::new(&caps);
        assert!(tuning.fits(&caps));
        assert!(!tuning.fits(&Caps { name: "Other GPU".into(), ..caps.clone() }));
        assert!(!tuning.fits(&Caps { driver: "1.3".into(), ..caps.clone() }));
        assert!(!tuning.fits(&Caps { backend: "Metal".into(), ..caps.clone() }));
        tuning.choices.insert("linear", "8x8x8 f32", "direct");
        assert_eq!(Tuning::parse(&tuning.json()).unwrap(), tuning);
        tuning.shaders = "0".into();
        assert!(!tuning.fits(&caps));
        let file = Tuning::file_name(&caps);
        assert!(file.starts_with("some-gpu-") && file.ends_with(".json"), "{file}");
        assert_ne!(file, Tuning::file_name(&Caps { driver: "1.3".into(), ..caps.clone() }));
        assert!(Tuning::file_name(&Caps { name: "../é/".into(), ..caps }).starts_with('-'));
        let error = Tuning::parse("{\"version\": 3}").unwrap_err().to_string();
        assert!(error.starts_with("this is no tuning: ") && !error.contains('\n'), "{error}");
    }
}
