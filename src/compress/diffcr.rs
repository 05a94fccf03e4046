//! The object that describes a DiffCR checkpoint: `"diffcr"` in `transformer/config.json`.

use serde_json::{Value, json};

use super::KeptRatios;
use crate::Result;
use crate::loading::Fields;

/// Which residual branches a kept row's score scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// The feed-forward's alone, as the authors' pseudocode.
    #[default]
    Mlp,
    /// The sum of all of the block's, as the paper's prose.
    Block,
}

/// `{"scale": "mlp"|"block", "bins": […], "kept_ratio": [[…L…] × regions], "train_timesteps": 1000}`.
#[derive(Clone, Debug)]
pub struct DiffcrConfig {
    /// What scores scale.
    pub scale: Scale,
    /// The kept ratios that the checkpoint was trained at, each in [0, 1].
    pub bins: Vec<f64>,
    /// The matrix as it is in the file, from the noisiest region to the cleanest.
    pub kept: KeptRatios,
}

impl DiffcrConfig {
    /// Reads the object, for a model of so many layers.
    pub fn read(mut fields: Fields, layers: usize) -> Result<Self> {
        let scale = match fields.take("scale", "mlp".to_owned())?.as_str() {
            "mlp" => Scale::Mlp,
            "block" => Scale::Block,
            other => return Err(fields.refuse("scale", &other.into(), "it is \"mlp\" or \"block\"")),
        };
        let bins: Vec<f64> = fields.require("bins")?;
        let rows: Vec<Vec<f64>> = fields.require("kept_ratio")?;
        let train_timesteps: usize = fields.require("train_timesteps")?;
        if bins.is_empty() {
            return Err(fields.refuse("bins", &json!(bins), "there is none"));
        }
        if train_timesteps == 0 {
            return Err(fields.refuse("train_timesteps", &json!(0), "must be at least 1"));
        }
        if rows.is_empty() {
            return Err(fields.refuse("kept_ratio", &json!(rows), "there is no region"));
        }
        if rows.len() > train_timesteps {
            let why = format!("{} regions cannot share {train_timesteps} timesteps", rows.len());
            return Err(fields.refuse("train_timesteps", &json!(train_timesteps), &why));
        }
        for (region, row) in rows.iter().enumerate() {
            if row.len() != layers {
                let name = format!("kept_ratio[{region}]");
                return Err(fields.refuse(&name, &json!(row), &format!("the model has {layers} layers")));
            }
        }
        // The paper's bins go down to 0, which keeps one token.
        if let Some(bin) = bins.iter().find(|bin| !(0.0..=1.0).contains(*bin)) {
            return Err(fields.refuse("bins", &json!(bin), "a bin is at least 0 and at most 1"));
        }
        if let Some(ratio) = rows.iter().flatten().find(|ratio| !(**ratio > 0.0 && **ratio <= 1.0)) {
            return Err(fields.refuse("kept_ratio", &json!(ratio), "a kept ratio is above 0 and at most 1"));
        }
        fields.finish()?;
        Ok(Self { scale, bins, kept: KeptRatios::new(rows, train_timesteps) })
    }

    /// The largest share of tokens that the bins allow to save.
    pub fn most_saved(&self) -> f64 {
        1.0 - self.bins.iter().copied().fold(1.0, f64::min)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "scale": self.scale.name(), "bins": self.bins, "kept_ratio": self.kept.rows(), "mean": self.kept.mean() })
    }
}

impl Scale {
    /// As the config names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Block => "block",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DiffcrConfig> {
        DiffcrConfig::read(Fields::parse("config.json: diffcr", json.as_bytes())?, 2)
    }

    #[test]
    fn reads_the_contract() {
        let json =
            r#"{"scale": "block", "bins": [1.0, 0.5], "kept_ratio": [[0.5, 1], [1, 0.5]], "train_timesteps": 1000}"#;
        let config = read(json).unwrap();
        assert_eq!((config.scale, config.kept.rows().len(), config.kept.mean()), (Scale::Block, 2, 0.75));
        let config = read(r#"{"bins": [1], "kept_ratio": [[1, 1]], "train_timesteps": 1000}"#).unwrap();
        assert_eq!(config.scale, Scale::Mlp, "the default");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (bins, kept, steps) = (r#""bins": [1.0, 0.5]"#, r#""kept_ratio": [[0.5, 1]]"#, r#""train_timesteps": 10"#);
        for (fields, reason) in [
            ([kept, steps, ""], "bins is missing"),
            ([bins, steps, ""], "kept_ratio is missing"),
            ([bins, kept, ""], "train_timesteps is missing"),
            ([r#""bins": []"#, kept, steps], "bins = []: there is none"),
            ([r#""bins": [-0.1, 1.0]"#, kept, steps], "bins = -0.1: a bin is at least 0 and at most 1"),
            ([bins, r#""kept_ratio": [[0.5, 0.0]]"#, steps], "kept_ratio = 0.0: a kept ratio is above 0"),
            ([bins, r#""kept_ratio": []"#, steps], "there is no region"),
            ([bins, r#""kept_ratio": [[0.5]]"#, steps], "kept_ratio[0] = [0.5]: the model has 2 layers"),
            ([bins, r#""kept_ratio": [[0.5, 1], [0.5, 1, 1]]"#, steps], "kept_ratio[1]"),
            ([bins, r#""kept_ratio": [[0.5, 1.5]]"#, steps], "kept_ratio = 1.5: a kept ratio is above 0"),
            ([bins, r#""kept_ratio": [[0.5, -0.5]]"#, steps], "kept_ratio = -0.5"),
            ([bins, r#""kept_ratio": [["a", 1]]"#, steps], "kept_ratio"),
            ([bins, kept, r#""train_timesteps": 0"#], "train_timesteps = 0"),
            ([bins, kept, r#""train_timesteps": 10, "scale": "attn""#], "scale = \"attn\""),
            ([bins, kept, r#""train_timesteps": 10, "twist": 3"#], "twist = 3"),
        ] {
            let fields: Vec<_> = fields.into_iter().filter(|f| !f.is_empty()).collect();
            let error = read(&format!("{{{}}}", fields.join(", "))).unwrap_err().to_string();
            assert!(error.starts_with("config.json: diffcr: ") && error.contains(reason), "{error}");
        }
    }
}
