//! Tensors in host memory: what goes to the GPU, what comes back, and what CPU references compute on.

use crate::size::elements;
use crate::{Error, Refusal, Result};

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Data,
}

/// A tensor's elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Numbers.
    F32(Vec<f32>),
    /// Row maps, indices, and packed weights as words.
    U32(Vec<u32>),
}

impl Tensor {
    /// A tensor of numbers; fails where `values` do not fill `shape`.
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Self> {
        Self::of(shape, Data::F32(values))
    }

    /// A tensor of indices or words.
    pub fn indices(shape: &[usize], values: Vec<u32>) -> Result<Self> {
        Self::of(shape, Data::U32(values))
    }

    fn of(shape: &[usize], data: Data) -> Result<Self> {
        let (found, expected) = (data.len(), elements(shape));
        if found as u64 != expected {
            let reason = format!("{found} values cannot fill shape {shape:?}, which takes {expected}");
            return Err(Error::shape("tensor", reason));
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// Its numbers; empty for an index tensor.
    pub fn f32(&self) -> &[f32] {
        match &self.data {
            Data::F32(values) => values,
            Data::U32(_) => &[],
        }
    }

    /// Its indices; empty for a tensor of numbers.
    pub fn u32(&self) -> &[u32] {
        match &self.data {
            Data::U32(values) => values,
            Data::F32(_) => &[],
        }
    }

    /// Whether it holds as many numbers as its shape takes, all of them in range: fields that a caller filled may not.
    pub(crate) fn check(&self, tensor: &'static str) -> Result<()> {
        let (shape, values) = (&self.shape, self.f32());
        if values.len() as u64 != elements(shape) {
            let reason = format!("{} numbers cannot fill the shape {shape:?}", values.len());
            return Err(Refusal::BadTensor { tensor, reason }.into());
        }
        let Some((index, value)) = values.iter().enumerate().find(|(_, value)| !in_range(**value)) else {
            return Ok(());
        };
        let reason = match value.is_finite() {
            true => format!("number {index} is {value:e}, beyond {BOUND:e}"),
            false => format!("number {index} is {value}, not finite"),
        };
        Err(Refusal::BadTensor { tensor, reason }.into())
    }

    /// Its bytes, as the GPU takes them.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::F32(values) => bytemuck::cast_slice(values),
            Data::U32(values) => bytemuck::cast_slice(values),
        }
    }
}

impl Data {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// No model has numbers near it. Far beyond it norms fail: where squares sum up to infinity, all that is divided by that
/// is zero, which looks like a picture.
pub(crate) const BOUND: f32 = 1e9;

/// Whether a number is finite and within [`BOUND`], by its bits: a comparison with NaN may be optimised away.
pub(crate) fn in_range(value: f32) -> bool {
    value.to_bits() & 0x7fff_ffff <= BOUND.to_bits()
}

/// ‖a − b‖ / ‖b‖, in f64. Infinite where a value is not finite or the lengths differ, so that no comparison passes on
/// NaN.
pub fn relative_l2(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().chain(b).any(|v| !v.is_finite()) {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
    let norm: f64 = b.iter().map(|&y| f64::from(y).powi(2)).sum();
    match (difference == 0.0, norm == 0.0) {
        (true, _) => 0.0,
        (false, true) => f64::INFINITY,
        (false, false) => (difference / norm).sqrt(),
    }
}
