//! The parameters of a policy: declared once, as data, and read from what a request sets.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{Error, Refusal, Result};

/// A parameter that requests can set. Help texts, menus and checks are made from it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its value where a request sets none; empty where the policy chooses.
    pub default: &'static str,
    /// What it may be.
    pub values: Values,
    /// What it does, in a sentence.
    pub help: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// A share of the tokens, at least 0 and below 1.
    Share,
    /// A number in a range.
    Number(f64, f64),
    /// A whole number of at least so many.
    Count(usize),
    /// true or false.
    Flag,
    /// Rows and columns of tokens: `2`, or `2x3`.
    Stride,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One layer, or FIRST-LAST.
    Layers,
}

/// What a request sets, checked against the parameters that the policy has.
#[derive(Clone, Debug)]
pub struct Parameters {
    policy: String,
    given: Vec<(&'static Parameter, String)>,
    known: &'static [Parameter],
}

impl Parameters {
    /// The values `given` to `policy`. Unknown and repeated names are refused.
    pub fn new(policy: &str, known: &'static [Parameter], given: Vec<(String, String)>) -> Result<Self> {
        let mut values: Vec<(&'static Parameter, String)> = Vec::new();
        for (name, value) in given {
            let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
                let known = known.iter().map(|parameter| parameter.name.to_owned()).collect();
                return Err(Error::Refused(Refusal::UnknownParameter { policy: policy.into(), name, known }));
            };
            if values.iter().any(|(earlier, _)| earlier.name == name) {
                return Err(Refusal::SetTwice { policy: policy.into(), name }.into());
            }
            values.push((parameter, value));
        }
        Ok(Self { policy: policy.into(), given: values, known })
    }

    /// A share of the tokens, in [0, 1).
    pub fn share(&self, name: &str) -> Result<f64> {
        let value = self.read(name, "a number")?;
        self.within(name, value, (0.0..1.0).contains(&value), "at least 0 and below 1")
    }

    /// A number in its range.
    pub fn number(&self, name: &str) -> Result<f64> {
        let value = self.read(name, "a number")?;
        let (least, most) = match self.parameter(name)?.values {
            Values::Number(least, most) => (least, most),
            _ => (f64::MIN, f64::MAX),
        };
        self.within(name, value, (least..=most).contains(&value), &format!("from {least} to {most}"))
    }

    /// A whole number.
    pub fn count(&self, name: &str) -> Result<usize> {
        let value = self.read(name, "a whole number")?;
        let least = if let Values::Count(least) = self.parameter(name)?.values { least } else { 0 };
        self.within(name, value, value >= least, &format!("at least {least}"))
    }

    /// true or false, which may be written as 1 and 0.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.text(name)? {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(self.refuse(name, other, "it is true or false")),
        }
    }

    /// Rows and columns.
    pub fn stride(&self, name: &str) -> Result<[usize; 2]> {
        let text = self.text(name)?;
        let (rows, columns) = text.split_once('x').unwrap_or((text, text));
        match [rows, columns].map(|side| side.parse::<usize>().ok().filter(|side| (1..=1024).contains(side))) {
            [Some(rows), Some(columns)] => Ok([rows, columns]),
            _ => Err(self.refuse(name, text, "it is a number of tokens, or ROWSxCOLUMNS")),
        }
    }

    /// One of the words that are known.
    pub fn word(&self, name: &str) -> Result<&'static str> {
        let text = self.text(name)?;
        let words = if let Values::Word(words) = self.parameter(name)?.values { words } else { &[] };
        let found = words.iter().find(|word| **word == text);
        found.copied().ok_or_else(|| self.refuse(name, text, &format!("it is {}", words.join(" or "))))
    }

    /// The first and the last of some layers; none where nothing was set.
    pub fn layers(&self, name: &str) -> Result<Option<RangeInclusive<usize>>> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(None);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Some(first..=last)),
            _ => Err(self.refuse(name, text, "it is a layer, or FIRST-LAST")),
        }
    }

    /// The value as text: what was set, or the default.
    pub fn text(&self, name: &str) -> Result<&str> {
        let given = self.given.iter().find(|(given, _)| given.name == name);
        Ok(given.map_or(self.parameter(name)?.default, |(_, value)| value))
    }

    /// Why a value cannot be.
    pub fn refuse(&self, name: &str, value: impl Display, why: &str) -> Error {
        let (policy, value) = (self.policy.clone(), value.to_string());
        Refusal::BadParameter { policy, name: name.into(), value, reason: why.into() }.into()
    }

    fn parameter(&self, name: &str) -> Result<&'static Parameter> {
        let found = self.known.iter().find(|parameter| parameter.name == name);
        found.ok_or_else(|| Error::shape(&self.policy, format!("reads {name}, which is not among its parameters")))
    }

    fn read<T: FromStr>(&self, name: &str, kind: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| self.refuse(name, text, &format!("it is {kind}")))
    }

    fn within<T: Display>(&self, name: &str, value: T, fits: bool, range: &str) -> Result<T> {
        if fits { Ok(value) } else { Err(self.refuse(name, value, &format!("it is {range}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static KNOWN: [Parameter; 6] = {
        const fn of(name: &'static str, default: &'static str, values: Values) -> Parameter {
            Parameter { name, default, values, help: "" }
        }
        [
            of("ratio", "0.5", Values::Share),
            of("stride", "2", Values::Stride),
            of("attn", "true", Values::Flag),
            of("deep", "3", Values::Count(1)),
            of("kind", "early", Values::Word(&["early", "late"])),
            of("layers", "", Values::Layers),
        ]
    };

    fn given(pairs: &[(&str, &str)]) -> Result<Parameters> {
        let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Parameters::new("tome", &KNOWN, owned)
    }

    #[test]
    fn values_are_read() {
        let parameters = given(&[("stride", "2x3"), ("attn", "false"), ("kind", "late"), ("layers", "1-2")]).unwrap();
        assert_eq!(parameters.share("ratio").unwrap(), 0.5);
        assert_eq!(parameters.stride("stride").unwrap(), [2, 3]);
        assert_eq!(parameters.word("kind").unwrap(), "late");
        assert!(!parameters.flag("attn").unwrap());
        assert_eq!(parameters.layers("layers").unwrap(), Some(1..=2));
        assert_eq!(given(&[]).unwrap().layers("layers").unwrap(), None);
        assert!(parameters.count("depth").unwrap_err().to_string().contains("not among its parameters"));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let wrong = |pairs: &[(&str, &str)], read: fn(&Parameters) -> Result<()>| {
            let error = given(pairs).and_then(|parameters| read(&parameters)).unwrap_err();
            assert!(error.is_usage());
            error.to_string()
        };
        for (found, reason) in [
            (
                wrong(&[("size", "3")], |_| Ok(())),
                "no parameter \"size\": its parameters are ratio, stride, attn, deep, kind",
            ),
            (wrong(&[("deep", "3"), ("deep", "4")], |_| Ok(())), "deep is set twice"),
            (wrong(&[("ratio", "1")], |p| p.share("ratio").map(drop)), "ratio = 1: it is at least 0 and below 1"),
            (wrong(&[("ratio", "x")], |p| p.share("ratio").map(drop)), "ratio = x: it is a number"),
            (wrong(&[("ratio", "nan")], |p| p.share("ratio").map(drop)), "ratio = NaN"),
            (wrong(&[("attn", "yes")], |p| p.flag("attn").map(drop)), "attn = yes: it is true or false"),
            (wrong(&[("stride", "2x")], |p| p.stride("stride").map(drop)), "or ROWSxCOLUMNS"),
            (wrong(&[("stride", "0")], |p| p.stride("stride").map(drop)), "stride = 0"),
            (wrong(&[("deep", "0")], |p| p.count("deep").map(drop)), "deep = 0: it is at least 1"),
            (wrong(&[("kind", "odd")], |p| p.word("kind").map(drop)), "it is early or late"),
            (
                wrong(&[("layers", "3-2")], |p| p.layers("layers").map(drop)),
                "layers = 3-2: it is a layer, or FIRST-LAST",
            ),
        ] {
            assert!(found.contains(reason), "{found}");
        }
    }
}
