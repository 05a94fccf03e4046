//! A JSON document: a value becomes another one, is moved, doubled, dropped, renamed or buried.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::bytes;

/// Before a text that is written without its quotes: numbers that [`Value`] cannot hold.
const RAW: &str = "\u{e000}raw:";

/// Texts at which something may go wrong.
const TEXTS: [&str; 22] = [
    "",
    " ",
    "\0",
    "\n",
    "\u{1b}[2J\u{7}",
    "\u{202e}gnp",
    "\u{2028}",
    "ä🏠",
    "e\u{301}",
    "\u{feff}",
    "NaN",
    "Infinity",
    "-1",
    "1e999",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x",
    "a//b",
    "true",
    "null",
    "18446744073709551616",
    "1-0",
];

pub fn mutated(data: &[u8], other: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<Value>(data) else { return bytes::mutated(data, other, rng) };
    if rng.random_ratio(1, 60) {
        return torn(data, rng);
    }
    let other: Value = serde_json::from_slice(other).unwrap_or_default();
    change(&mut document, &other, rng);
    write(&document)
}

/// Changes one value of the document.
fn change(document: &mut Value, other: &Value, rng: &mut SmallRng) {
    let place = rng.random_range(0..count(document));
    let donor = nth(if rng.random() { other } else { document }, rng).cloned().unwrap_or_default();
    let Some(value) = at(document, &mut place.clone()) else { return };
    match rng.random_range(0..12) {
        0 => *value = donor,
        1 => *value = any(rng),
        2 => *value = buried(value.take(), rng),
        3 => *value = json!([value.clone(), value.clone()]),
        4 => *value = Value::Null,
        _ => inside(value, donor, rng),
    }
}

/// A change that leaves the value's type.
fn inside(value: &mut Value, donor: Value, rng: &mut SmallRng) {
    match value {
        Value::Null => *value = any(rng),
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(number) => *value = other_number(number.as_f64().unwrap_or_default(), rng),
        Value::String(text) => *text = other_text(text, rng),
        Value::Array(values) => {
            let place = rng.random_range(0..=values.len());
            match rng.random_range(0..5) {
                0 if place < values.len() => drop(values.remove(place)),
                1 if place < values.len() => values.insert(place, values[place].clone()),
                2 => values.insert(place, donor),
                3 => *values = values.iter().cycle().take(values.len() * 3).cloned().collect(),
                _ => values.truncate(place),
            }
        }
        Value::Object(fields) => object(fields, donor, rng),
    }
}

fn object(fields: &mut Map<String, Value>, donor: Value, rng: &mut SmallRng) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let (one, two) = (names.choose(rng).cloned().unwrap_or_default(), names.choose(rng).cloned().unwrap_or_default());
    match rng.random_range(0..5) {
        0 => drop(fields.remove(&one)),
        1 => {
            let value = fields.remove(&one).unwrap_or_default();
            fields.insert(other_text(&one, rng), value);
        }
        2 => {
            let (first, second) = (fields.get(&one).cloned(), fields.get(&two).cloned());
            fields.extend([(one, second.unwrap_or_default()), (two, first.unwrap_or_default())]);
        }
        3 => drop(fields.insert(other_text(&one, rng), donor)),
        _ => drop(fields.insert(one, donor)),
    }
}

fn any(rng: &mut SmallRng) -> Value {
    match rng.random_range(0..8) {
        0 => json!([]),
        1 => json!({}),
        2 => json!(rng.random::<bool>()),
        3 => json!(TEXTS.choose(rng)),
        4 => json!([[], {}, null]),
        _ => other_number(1.0, rng),
    }
}

fn other_number(number: f64, rng: &mut SmallRng) -> Value {
    const RAWS: [&str; 8] =
        ["1e999", "-1e999", "-0", "1e-400", "0.1e1", "340282350000000000000000000000000000000", "1E400", "-0.0"];
    match rng.random_range(0..12) {
        0 => json!((number as i64).saturating_mul(10i64.pow(rng.random_range(1..12)))),
        1 => json!(bytes::number(rng)),
        2 => json!(-(bytes::number(rng) as i64 >> 1)),
        3 => json!((number as i64).saturating_add(rng.random_range(-2..3))),
        4 => json!(1u64 << rng.random_range(0..40)),
        5 => json!((number as i64).saturating_mul(1 << rng.random_range(1..12))),
        6 => json!(number as i64 / 2),
        7 => json!((number as i64).saturating_neg()),
        8 => json!(number * 10f64.powi(rng.random_range(-40..40))),
        9 => json!(number + 0.5),
        10 => json!(*[f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-7, 3.4e38, 0.0].choose(rng).unwrap_or(&0.0)),
        _ => json!(format!("{RAW}{}", RAWS.choose(rng).unwrap_or(&"0"))),
    }
}

fn other_text(text: &str, rng: &mut SmallRng) -> String {
    // A character map in base64 is a file of its own.
    if text.len() > 64
        && let Ok(map) = BASE64_STANDARD.decode(text)
    {
        return BASE64_STANDARD.encode(bytes::mutated(&map, &[], rng));
    }
    let interesting = *TEXTS.choose(rng).unwrap_or(&"");
    match rng.random_range(0..7) {
        0 => interesting.to_owned(),
        1 => format!("{text}{interesting}"),
        2 => format!("{interesting}{text}"),
        3 => text.chars().skip(1).collect(),
        4 => text.chars().rev().collect(),
        5 => text.repeat(*[2, 10, 1000].choose(rng).unwrap_or(&2)).chars().take(1 << 16).collect(),
        _ => String::from_utf8_lossy(&bytes::mutated(text.as_bytes(), b"", rng)).into_owned(),
    }
}

fn buried(value: Value, rng: &mut SmallRng) -> Value {
    let depth = *[1, 10, 100].choose(rng).unwrap_or(&1);
    (0..depth).fold(value, |value, _| if rng.random() { json!([value]) } else { json!({ "a": value }) })
}

/// Text that no document has: nested without end, or with a key that stands twice.
fn torn(data: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    match rng.random_range(0..3) {
        0 => b"[".repeat(*[200, 5000, 1 << 19].choose(rng).unwrap_or(&200)),
        1 => b"{\"a\":".repeat(*[200, 5000, 1 << 17].choose(rng).unwrap_or(&200)),
        _ => {
            let text = String::from_utf8_lossy(data);
            let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
            format!("{{{inner},{inner}}}").into_bytes()
        }
    }
}

fn write(document: &Value) -> Vec<u8> {
    let (text, mark) = (document.to_string(), format!("\"{RAW}"));
    let mut parts = text.split(&mark);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        written.push_str(&part.replacen('"', "", 1));
    }
    written.into_bytes()
}

/// The values of a document, itself among them.
fn count(value: &Value) -> usize {
    1 + children(value).map(count).sum::<usize>()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(values) => Box::new(values.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn nth<'a>(value: &'a Value, rng: &mut SmallRng) -> Option<&'a Value> {
    fn find<'a>(value: &'a Value, left: &mut usize) -> Option<&'a Value> {
        if *left == 0 {
            return Some(value);
        }
        *left -= 1;
        children(value).find_map(|child| find(child, left))
    }
    find(value, &mut rng.random_range(0..count(value)))
}

fn at<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|child| at(child, left)),
        Value::Object(fields) => fields.values_mut().find_map(|child| at(child, left)),
        _ => None,
    }
}
