//! The kept-ratio matrix of a checkpoint with routers.

use foveate::pipelines::ModelFolder;
use foveate::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// `diffcr` of `transformer/config.json`: how many tokens each layer keeps in each region of timesteps.
#[derive(Debug, Deserialize)]
pub struct Kept {
    /// "mlp" or "block".
    pub scale: String,
    /// One row per region, from the noisiest to the cleanest; one column per layer.
    pub kept_ratio: Vec<Vec<f64>>,
}

impl Kept {
    /// The matrix, where the checkpoint has one.
    pub async fn read(folder: &ModelFolder) -> Result<Option<Self>> {
        let kept: Option<Self> = folder.config("transformer").await?.optional("diffcr")?;
        let Some(kept) = kept else { return Ok(None) };
        let layers = kept.kept_ratio.first().map_or(0, Vec::len);
        if layers == 0 || kept.kept_ratio.iter().any(|row| row.len() != layers) {
            let file = folder.source.display("transformer/config.json");
            return Err(Error::config(file, "diffcr.kept_ratio: the rows should be equally long and not empty"));
        }
        Ok(Some(kept))
    }

    /// The matrix for programs.
    pub fn json(&self) -> Value {
        json!({ "scale": self.scale, "kept_ratio": self.kept_ratio })
    }
}
