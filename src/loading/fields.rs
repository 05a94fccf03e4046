//! Reads a model's JSON field by field. What is read is taken out; what is left at the end was not understood, and is
//! refused by name: a field that changes numbers is honoured or named, never skipped.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::weights::{CONFIG, Source, check_whole};
use crate::{Error, Result};

/// The fields of one config that are still to be read.
#[derive(Debug)]
pub struct Fields {
    file: String,
    left: Map<String, Value>,
}

impl Fields {
    /// Reads the JSON object in `file`.
    pub async fn read(source: &Source, file: &str) -> Result<Self> {
        Self::parse(&source.display(file), &source.read_config(file).await?)
    }

    /// The JSON object in `bytes`, which came from `file`.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        Ok(Self { file: file.into(), left: object(file, bytes)? })
    }

    /// The file's name, for errors of the caller's own.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Field `name`; absent or null gives `default`.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// Field `name`, none where it is absent or null.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match serde_json::from_value(value.clone()) {
                Ok(read) => Ok(Some(read)),
                Err(error) => Err(self.refuse(name, &value, &error.to_string())),
            },
        }
    }

    /// Field `name`, where null is a value of its own: none where it is null, `default` where it is absent.
    pub fn nullable<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Result<Option<T>> {
        match self.left.contains_key(name) {
            true => self.optional(name),
            false => Ok(Some(default)),
        }
    }

    /// Field `name`, which has no default.
    pub fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| Error::config(&self.file, format!("{name} is missing")))
    }

    /// The object in field `name`, to be read field by field itself; none where it is absent or null.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>> {
        let file = format!("{}: {name}", self.file);
        Ok(self.optional::<Map<String, Value>>(name)?.map(|left| Self { file, left }))
    }

    /// A count of at least one.
    pub fn count(&mut self, name: &str, default: usize) -> Result<usize> {
        match self.take(name, default)? {
            0 => Err(self.refuse(name, &0.into(), "must be at least 1")),
            // Beyond any model; keeps products of sizes far from overflow.
            n if n > 1 << 24 => Err(self.refuse(name, &n.into(), "is absurdly large")),
            n => Ok(n),
        }
    }

    /// Field `name` must be one of `known`, which this engine implements; absent or null passes as the first.
    pub fn only(&mut self, name: &str, known: &[Value]) -> Result<()> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if known.contains(&value) => Ok(()),
            Some(value) => {
                let known: Vec<_> = known.iter().map(Value::to_string).collect();
                Err(self.refuse(name, &value, &format!("only {} is implemented", known.join(" or "))))
            }
        }
    }

    /// Fields that do not change numbers at inference.
    pub fn ignore(&mut self, names: &[&str]) {
        self.left.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// Refuses whatever was not read. Names with a leading underscore are diffusers' notes to itself.
    pub fn finish(self) -> Result<()> {
        let unknown = self.left.iter().find(|(name, value)| !name.starts_with('_') && !value.is_null());
        match unknown {
            None => Ok(()),
            Some((name, value)) => Err(self.refuse(name, value, "this engine does not know the field")),
        }
    }

    /// The error for a field that cannot be honoured.
    pub fn refuse(&self, name: &str, value: &Value, why: &str) -> Error {
        let mut shown = value.to_string();
        if shown.len() > 60 {
            shown = shown.chars().take(57).collect::<String>() + "…";
        }
        Error::config(&self.file, format!("{name} = {shown}: {why}"))
    }
}

/// The JSON object in `bytes`, which came from `file`. What is too long for a config is refused before it is parsed.
pub(super) fn object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>> {
    check_whole(file, bytes.len() as u64, CONFIG)?;
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::config(file, "is not a JSON object")),
        Err(error) => Err(Error::config(file, format!("is not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse("config.json", json.as_bytes()).unwrap()
    }

    #[test]
    fn complaints_name_file_field_and_value() {
        let error = fields(r#"{"depth": "deep"}"#).count("depth", 1).unwrap_err().to_string();
        assert!(error.starts_with("config.json: depth = \"deep\":"), "{error}");
        let error = fields(r#"{"act": "swish"}"#).only("act", &["silu".into()]).unwrap_err().to_string();
        assert_eq!(error, "config.json: act = \"swish\": only \"silu\" is implemented");
        let error = fields(r#"{"novel": 3, "_class_name": "X"}"#).finish().unwrap_err().to_string();
        assert_eq!(error, "config.json: novel = 3: this engine does not know the field");
        let error = Fields::parse("config.json", b"{").unwrap_err().to_string();
        assert!(error.starts_with("config.json: is not JSON"), "{error}");
        let error = Fields::parse("config.json", &vec![b'['; (1 << 20) + 1]).unwrap_err().to_string();
        assert_eq!(error, "config.json: is 1048577 bytes long, more than the 1048576 that are read at once");
    }

    #[test]
    fn null_and_absent_take_the_default() {
        assert_eq!(fields(r#"{"a": null}"#).take("a", 5).unwrap(), 5);
        assert_eq!(fields("{}").optional::<u32>("a").unwrap(), None);
    }
}
