//! Reads a model's JSON field by field. What is read is taken out; what is left at the end was not understood, and is
//! refused by name: a field that changes numbers is honoured or named, never skipped.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::weights::{CONFIG, Source, check_whole};
use crate::{Error, Result};

/// The largest count: beyond any model, and its products are far from overflow.
const MOST: usize = 1 << 24;

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

    /// Whether field `name` is there, be it null: where that differs from its absence.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
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
            n if n > MOST => Err(self.refuse(name, &n.into(), "is absurdly large")),
            n => Ok(n),
        }
    }

    /// A count that may be null or absent; see [`Fields::count`].
    pub fn optional_count(&mut self, name: &str) -> Result<Option<usize>> {
        match self.left.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.count(name, 1).map(Some),
        }
    }

    /// Heads and their width by two names, each with its default. Their product is a width, which is a count as well.
    pub fn heads(&mut self, heads: (&str, usize), head_dim: (&str, usize)) -> Result<(usize, usize)> {
        let (count, dim) = (self.count(heads.0, heads.1)?, self.count(head_dim.0, head_dim.1)?);
        match count.checked_mul(dim) {
            Some(1..=MOST) => Ok((count, dim)),
            _ => Err(self.refuse(head_dim.0, &dim.into(), &format!("{count} such heads are absurdly wide"))),
        }
    }

    /// A number above zero that is not too small or too large to be divided by.
    pub fn positive(&mut self, name: &str, default: f64) -> Result<f64> {
        let value = self.take(name, default)?;
        // What is computed with it is computed in f32.
        match value as f32 {
            number if number > 0.0 && number.is_normal() => Ok(value),
            _ => Err(self.refuse(name, &value.into(), "must be a number above zero, within the range of an f32")),
        }
    }

    /// `patch_size` and `sample_size`, the latter with this default: the trained picture has at least one patch.
    pub fn patches(&mut self, sample_size: usize) -> Result<(usize, usize)> {
        let (patch, side) = (self.count("patch_size", 2)?, self.count("sample_size", sample_size)?);
        match side < patch {
            true => Err(self.refuse("sample_size", &side.into(), &format!("is smaller than patch_size = {patch}"))),
            false => Ok((patch, side)),
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
    fn numbers_that_nothing_can_be_computed_with_are_refused() {
        for json in [r#"{"eps": 0}"#, r#"{"eps": -1e-6}"#, r#"{"eps": 1e39}"#, r#"{"eps": 1e-50}"#] {
            let error = fields(json).positive("eps", 1e-5).unwrap_err().to_string();
            assert!(error.starts_with("config.json: eps = ") && error.contains("must be a number above"), "{error}");
        }
        assert_eq!(fields("{}").positive("eps", 1e-5).unwrap(), 1e-5);
        let read = |json: &str| fields(json).heads(("heads", 2), ("dim", 3));
        assert_eq!(read("{}").unwrap(), (2, 3));
        let error = read(r#"{"heads": 16777216, "dim": 2}"#).unwrap_err().to_string();
        assert!(error.contains("dim = 2: 16777216 such heads are absurdly wide"), "{error}");
        let error = fields(r#"{"patch_size": 9, "sample_size": 8}"#).patches(32).unwrap_err().to_string();
        assert!(error.contains("sample_size = 8: is smaller than patch_size = 9"), "{error}");
        let error = fields(r#"{"width": 18446744073709551615}"#).optional_count("width").unwrap_err().to_string();
        assert!(error.contains("absurdly large"), "{error}");
        assert_eq!(fields(r#"{"width": null}"#).optional_count("width").unwrap(), None);
    }

    #[test]
    fn null_and_absent_take_the_default() {
        assert_eq!(fields(r#"{"a": null}"#).take("a", 5).unwrap(), 5);
        assert_eq!(fields("{}").optional::<u32>("a").unwrap(), None);
    }
}
