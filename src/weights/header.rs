//! The head of a safetensors file: eight bytes of length, then JSON that says which tensor lies where.
//!
//! The `safetensors` crate defines the types; the checks are made here, because its own do not always name the tensor,
//! and let a name that stands twice pass. See <https://github.com/huggingface/safetensors#format>.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::Source;
use crate::{Error, Result};

/// The type of numbers in a file.
pub use safetensors::Dtype as SourceType;

/// The longest header read, in bytes: the reference implementation's limit.
const LONGEST: u64 = 100_000_000;

/// Where a tensor lies, and as what.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The file, as its [`Source`] names it.
    pub file: String,
    /// The type of its numbers.
    pub dtype: SourceType,
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Its first byte, counted from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A tensor as the header describes it; the offsets count from the header's end.
#[derive(Deserialize)]
struct Entry {
    dtype: SourceType,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// The tensors of `file`, in the order in which they lie there.
pub async fn read(source: &Source, file: &str) -> Result<Vec<(String, TensorInfo)>> {
    let wrong = |reason: String| Error::file(source.display(file), reason);
    let size = source.size(file).await?;
    if size < 8 {
        return Err(wrong(format!("is {size} bytes long, too short for a safetensors file")));
    }
    let start = source.read_range(file, 0..8).await?;
    if start == b"version " {
        return Err(wrong("is a Git LFS pointer, not the weights; `git lfs pull` fetches them".into()));
    }
    let length = start.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    // Both before a byte is allocated: the length is whatever the file says.
    if length > size - 8 {
        return Err(wrong(format!(
            "claims a header of {length} bytes but has {}: truncated, or not safetensors",
            size - 8
        )));
    }
    if length > LONGEST {
        return Err(wrong(format!("has a header of {length} bytes, more than the {LONGEST} allowed")));
    }
    let header = source.read_range(file, 8..8 + length).await?;
    let header = str::from_utf8(&header).map_err(|e| wrong(format!("the header is not UTF-8: {e}")))?;
    let Unique(entries) = serde_json::from_str(header).map_err(|e| wrong(format!("the header is not valid: {e}")))?;
    place(entries, size - 8 - length)
        .map(|entries| entries.into_iter().map(|(name, entry)| (name, info(file, 8 + length, entry))).collect())
        .map_err(wrong)
}

/// Sorts entries by place and checks that they cover the `data` bytes after the header exactly, as the format demands:
/// a gap or an overlap means that some tensor is not what its name says.
fn place(mut entries: Vec<(String, Entry)>, data: u64) -> Result<Vec<(String, Entry)>, String> {
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in &entries {
        let (from, to) = entry.data_offsets;
        let bytes = (entry.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64)))
            .and_then(|n| n.checked_mul(entry.dtype.bitsize() as u64))
            .map(|bits| bits.div_ceil(8))
            .ok_or_else(|| format!("tensor {name}: the shape {:?} is absurd", entry.shape))?;
        if to < from || to - from != bytes {
            let (shape, dtype) = (&entry.shape, entry.dtype);
            return Err(format!("tensor {name}: {dtype} {shape:?} needs {bytes} bytes, it has {from}..{to}"));
        }
        if to > data {
            return Err(format!("tensor {name}: reaches to byte {to}, the file holds {data}: truncated"));
        }
        if from != end {
            let what = if from < end { "overlaps the tensor before it" } else { "leaves a gap before it" };
            return Err(format!("tensor {name}: starts at byte {from} where {end} is due, so it {what}"));
        }
        end = to;
    }
    if end != data {
        return Err(format!("the tensors end at byte {end}, the file holds {data}"));
    }
    Ok(entries)
}

fn info(file: &str, data: u64, entry: Entry) -> TensorInfo {
    let (from, to) = entry.data_offsets;
    TensorInfo { file: file.into(), dtype: entry.dtype, shape: entry.shape, offset: data + from, bytes: to - from }
}

/// A JSON object in which no key stands twice, in its order; `__metadata__` is left out.
pub struct Unique<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with one entry for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<T>, A::Error> {
                let (mut entries, mut seen) = (Vec::new(), HashSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name.contains(char::is_control) {
                        return Err(A::Error::custom(format!("{name:?} is no name")));
                    }
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("{name} stands there twice")));
                    }
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let value = map.next_value().map_err(|e| A::Error::custom(format!("tensor {name}: {e}")))?;
                    entries.push((name, value));
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}
