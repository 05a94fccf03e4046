//! Python's JSON. diffusers writes `"lambda_min_clipped": -Infinity`, which JSON does not have; every folder with a
//! `DPMSolverMultistepScheduler` saved by it carries that.

use serde_json::Value;

use crate::{Error, Result};

/// What Python writes where JSON has no number. The longest that fits is tried first.
const TOKENS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Parses the JSON in `file`, whose content is `bytes`; infinities and NaN become the strings "Infinity", "-Infinity"
/// and "NaN".
pub fn parse(file: &str, bytes: impl AsRef<[u8]>) -> Result<Value> {
    let text = str::from_utf8(bytes.as_ref()).map_err(|error| Error::file(file, format!("not JSON: {error}")))?;
    serde_json::from_str(&quoted(text)).map_err(|error| Error::file(file, format!("not JSON: {error}")))
}

/// `text` with those tokens in quotes, except inside strings.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let token = TOKENS.iter().find(|token| !in_string && rest.starts_with(**token));
        let length = match (first, token) {
            (_, Some(token)) => token.len(),
            // A backslash takes the character after it along.
            ('\\', _) if in_string => rest.chars().take(2).map(char::len_utf8).sum(),
            (first, _) => first.len_utf8(),
        };
        in_string ^= first == '"';
        let (piece, after) = rest.split_at(length);
        match token {
            Some(token) => out.extend(["\"", *token, "\""]),
            None => out.push_str(piece),
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn infinities_become_strings_and_strings_stay() {
        let parsed =
            parse("x.json", r#"{"a": -Infinity, "b": [Infinity, NaN], "say \"NaN\"": "é -Infinity\\"}"#).unwrap();
        let expected = json!({"a": "-Infinity", "b": ["Infinity", "NaN"], "say \"NaN\"": "é -Infinity\\"});
        assert_eq!(parsed, expected);
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for text in ["", "{", "{\"a\": -Infinite}", "\"\\"] {
            assert!(parse("x.json", text).unwrap_err().to_string().starts_with("x.json: not JSON"), "{text}");
        }
        assert!(parse("x.json", [0xff]).is_err());
    }
}
