//! What a request says about compression, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{MaskedCompute, StepCache};

/// Which policy, and how. Names are resolved when the request is prepared, so this stays data that can be stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// The policy's name. None: what the checkpoint was made for, else dense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The share of the tokens to save: 0.3 computes 70 % of them. None: as the checkpoint was trained, or as
    /// published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// The policy's parameters by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub set: BTreeMap<String, String>,
    /// A step cache around the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<StepCache>,
    /// Only the tokens under the request's mask are computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<MaskedCompute>,
}

impl Compression {
    /// The policy of this name, with its defaults.
    pub fn policy(name: &str) -> Self {
        Self { policy: Some(name.into()), ..Self::default() }
    }

    /// The same with one parameter set.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.set.insert(key.into(), value.to_string());
        self
    }
}

/// Parameters may be written as text, numbers or truth values.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, serde_json::Value>::deserialize(from)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok(value.to_string()),
        other => Err(serde::de::Error::custom(format!("{other} is no parameter: a text, a number, true or false"))),
    };
    values.into_iter().map(|(key, value)| Ok((key, text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let compression = Compression {
            ratio: Some(0.4),
            cache: Some("2".parse().unwrap()),
            ..Compression::policy("tome").with("stride", "2x3").with("mlp", true)
        };
        let json = serde_json::to_string(&compression).unwrap();
        assert_eq!(
            json,
            r#"{"policy":"tome","ratio":0.4,"set":{"mlp":"true","stride":"2x3"},"cache":"every=2,first=1,last=1"}"#
        );
        assert_eq!(serde_json::from_str::<Compression>(&json).unwrap(), compression);
        let plain: Compression = serde_json::from_str(r#"{"policy": "tome", "set": {"mlp": true, "x": 2}}"#).unwrap();
        assert_eq!(plain, Compression::policy("tome").with("mlp", true).with("x", 2));
        for bad in [r#"{"polisy": "tome"}"#, r#"{"cache": "1"}"#, r#"{"set": {"x": [1]}}"#] {
            assert!(serde_json::from_str::<Compression>(bad).is_err(), "{bad}");
        }
    }
}
