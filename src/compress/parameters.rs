//! A policy's parameters, as `--set KEY=VALUE` gives them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{Error, Result};

/// Keys and values, taken one by one; what is left over was never a parameter.
#[derive(Clone, Debug)]
pub struct Parameters {
    policy: &'static str,
    known: &'static [&'static str],
    given: Vec<(String, String)>,
}

impl Parameters {
    /// Those of `policy`, which knows the keys in `known`. Unknown and repeated keys are refused.
    pub fn new(policy: &'static str, known: &'static [&'static str], given: &[(String, String)]) -> Result<Self> {
        for (at, (key, _)) in given.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                let known = match known {
                    [] => "it has none".to_owned(),
                    known => format!("it knows {}", known.join(", ")),
                };
                return Err(Error::Usage(format!("the policy {policy} has no parameter {key:?}: {known}")));
            }
            if given[..at].iter().any(|(earlier, _)| earlier == key) {
                return Err(Error::Usage(format!("the policy {policy}: {key} is set twice")));
            }
        }
        Ok(Self { policy, known, given: given.to_vec() })
    }

    /// A number of tokens' share, in [0, 1).
    pub fn share(&mut self, key: &str, default: f64) -> Result<f64> {
        let value = self.take(key, default, "a number")?;
        self.within(key, value, (0.0..1.0).contains(&value), "at least 0 and below 1")
    }

    /// A number in a range.
    pub fn number(&mut self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        let value = self.take(key, default, "a number")?;
        self.within(key, value, range.contains(&value), &format!("from {} to {}", range.start(), range.end()))
    }

    /// A whole number, at least `least`.
    pub fn count(&mut self, key: &str, default: usize, least: usize) -> Result<usize> {
        let value = self.take(key, default, "a whole number")?;
        self.within(key, value, value >= least, &format!("at least {least}"))
    }

    /// true or false, which 1 and 0 say as well.
    pub fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.text(key).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(self.refuse(key, other, "it is true or false")),
        }
    }

    /// Rows and columns: `2`, or `2x3`.
    pub fn stride(&mut self, key: &str, default: [usize; 2]) -> Result<[usize; 2]> {
        let Some(text) = self.text(key) else { return Ok(default) };
        let (rows, columns) = text.split_once('x').unwrap_or((&text, &text));
        match [rows, columns].map(|side| side.parse::<usize>().ok().filter(|side| (1..=1024).contains(side))) {
            [Some(rows), Some(columns)] => Ok([rows, columns]),
            _ => Err(self.refuse(key, &text, "it is a number of tokens, or ROWSxCOLUMNS")),
        }
    }

    /// One of the words that are known, by its place among them.
    pub fn word(&mut self, key: &str, words: &[&str], default: usize) -> Result<usize> {
        let Some(text) = self.text(key) else { return Ok(default) };
        let at = words.iter().position(|word| *word == text);
        at.ok_or_else(|| self.refuse(key, &text, &format!("it is {}", words.join(" or "))))
    }

    /// What was given, as it was.
    pub fn text(&mut self, key: &str) -> Option<String> {
        debug_assert!(self.known.contains(&key), "{key} is not among the known keys");
        let at = self.given.iter().position(|(given, _)| given == key)?;
        Some(self.given.remove(at).1)
    }

    /// Why a value cannot be.
    pub fn refuse(&self, key: &str, value: impl Display, why: &str) -> Error {
        Error::Usage(format!("the policy {}: {key} = {value}: {why}", self.policy))
    }

    fn take<T: FromStr>(&mut self, key: &str, default: T, kind: &str) -> Result<T> {
        match self.text(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| self.refuse(key, &text, &format!("it is {kind}"))),
        }
    }

    fn within<T: Display>(&self, key: &str, value: T, fits: bool, range: &str) -> Result<T> {
        if fits { Ok(value) } else { Err(self.refuse(key, value, &format!("it is {range}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Result<Parameters> {
        let owned: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Parameters::new("tome", &["ratio", "stride", "attn", "deep", "kind"], &owned)
    }

    #[test]
    fn values_are_read() {
        let mut parameters = given(&[("stride", "2x3"), ("attn", "false"), ("kind", "late")]).unwrap();
        assert_eq!(parameters.share("ratio", 0.5).unwrap(), 0.5);
        assert_eq!(parameters.stride("stride", [2, 2]).unwrap(), [2, 3]);
        assert_eq!(parameters.word("kind", &["early", "late"], 0).unwrap(), 1);
        assert!(!parameters.flag("attn", true).unwrap());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let wrong = |pairs: &[(&str, &str)], read: fn(&mut Parameters) -> Result<()>| {
            let error = given(pairs).and_then(|mut parameters| read(&mut parameters)).unwrap_err();
            assert!(error.is_usage());
            error.to_string()
        };
        for (found, reason) in [
            (wrong(&[("size", "3")], |_| Ok(())), "no parameter \"size\": it knows ratio, stride, attn, deep, kind"),
            (wrong(&[("deep", "3"), ("deep", "4")], |_| Ok(())), "deep is set twice"),
            (wrong(&[("ratio", "1")], |p| p.share("ratio", 0.5).map(drop)), "ratio = 1: it is at least 0 and below 1"),
            (wrong(&[("ratio", "x")], |p| p.share("ratio", 0.5).map(drop)), "ratio = x: it is a number"),
            (wrong(&[("ratio", "nan")], |p| p.share("ratio", 0.5).map(drop)), "ratio = NaN"),
            (wrong(&[("attn", "yes")], |p| p.flag("attn", true).map(drop)), "attn = yes: it is true or false"),
            (wrong(&[("stride", "2x")], |p| p.stride("stride", [2, 2]).map(drop)), "or ROWSxCOLUMNS"),
            (wrong(&[("stride", "0")], |p| p.stride("stride", [2, 2]).map(drop)), "stride = 0"),
            (wrong(&[("deep", "0")], |p| p.count("deep", 3, 1).map(drop)), "deep = 0: it is at least 1"),
            (wrong(&[("kind", "odd")], |p| p.word("kind", &["early", "late"], 0).map(drop)), "it is early or late"),
        ] {
            assert!(found.contains(reason), "{found}");
        }
    }
}
