//! Values of options, from text.

use std::collections::BTreeMap;

use foveate::{Error, Result};

/// torch takes negative seeds too, as the bits that they are.
pub fn seed(text: &str) -> Result<u64, String> {
    let negative = || text.parse::<i64>().map(|seed| seed as u64);
    text.parse::<u64>().or_else(|_| negative()).map_err(|_| "a seed is a whole number of 64 bits".into())
}

/// A number.
pub fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("it is no finite number".into()),
    }
}

/// A number of things that are made at once.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("it is a whole number from 1 to 1024".into()),
    }
}

/// A number of steps. What a model makes of none is the model's to say.
pub fn steps(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it is a whole number from 1 up".into())
}

/// The number of a class.
pub fn class(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a class is a whole number from 0 up".into())
}

/// A share of tokens to save.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err("a ratio is at least 0 and below 1".into()),
    }
}

/// A share of the noise.
pub fn strength(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a strength is above 0 and at most 1".into()),
    }
}

/// A number of bytes: alone, or with a unit, by thousands (kB, MB, GB) or by 1024 (KiB, MiB, GiB).
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "it is a number of bytes such as 12GB, 900MiB or 1000000".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => f64::from(1 << 10),
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    match (number * scale).round() {
        bytes if bytes >= 1.0 && bytes < u64::MAX as f64 => Ok(bytes as u64),
        _ => Err(wrong()),
    }
}

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.into(), value.into())),
        None => Err("it has no '='".into()),
    }
}

/// All values of `--set` by their keys, of which none may come twice.
pub fn set(pairs: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (key, value) in pairs {
        if all.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::Usage(format!("--set {key}: {key} is set twice")));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, expected) in [
            ("1000000", 1_000_000),
            ("12GB", 12_000_000_000),
            ("1.5 GiB", 3 << 29),
            ("900MiB", 900 << 20),
            ("7kb", 7000),
            ("64KiB", 64 << 10),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "GB", "0", "-1", "12 parsecs", "1e300GB", "99999999999GB", "1.2.3GB", "nan"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
