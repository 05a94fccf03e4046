//! The numbers in a safetensors file: little-endian bytes of some type, to `f32`.

use half::{bf16, f16};

use super::SourceType;
use crate::Error;

/// Why numbers cannot be stored as weights.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// They are of a type that is no floating point, or none known here.
    #[error("holds {0}; weights are read from F32, F16, BF16 and F64")]
    Type(SourceType),
    /// One of them is NaN, infinite, or beyond what the format reaches.
    #[error("element {index} is {value}{}", if value.is_finite() { ", which the storage format does not reach" } else { "" })]
    Value {
        /// Where it stands, counted from the first number given.
        index: usize,
        /// What it is.
        value: f32,
    },
}

impl Unfit {
    /// The same, with `by` more numbers before it.
    pub fn after(self, by: usize) -> Self {
        match self {
            Self::Value { index, value } => Self::Value { index: index + by, value },
            other => other,
        }
    }

    /// The error of the tensor `name`.
    pub fn of(self, name: &str) -> Error {
        Error::tensor(name, self.to_string())
    }
}

/// Appends `bytes`, values of type `from`, to `out`.
pub fn append_f32(from: SourceType, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), Unfit> {
    match from {
        SourceType::F64 => out.extend(each(bytes, |b| f64::from_le_bytes(b) as f32)),
        SourceType::F32 => out.extend(each(bytes, f32::from_le_bytes)),
        SourceType::F16 => out.extend(each(bytes, |b| f16::from_le_bytes(b).to_f32())),
        SourceType::BF16 => out.extend(each(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => return Err(Unfit::Type(from)),
    }
    Ok(())
}

/// `bytes`, values of type `from`, as integers; none where they are of another type than I32 and I64.
pub fn to_i64(from: SourceType, bytes: &[u8]) -> Option<Vec<i64>> {
    match from {
        SourceType::I64 => Some(each(bytes, i64::from_le_bytes).collect()),
        SourceType::I32 => Some(each(bytes, |b| i32::from_le_bytes(b).into()).collect()),
        _ => None,
    }
}

/// Refuses NaN and infinities, naming the first.
pub fn check_finite(values: &[f32]) -> Result<(), Unfit> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Unfit::Value { index, value: values[index] }),
        None => Ok(()),
    }
}

/// `bytes` taken `N` at a time.
pub fn each<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |chunk| value(*chunk))
}
