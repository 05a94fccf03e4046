//! The tensors of a model part: known by their headers, read when they are wanted, never all at once.

use std::collections::HashMap;
use std::ops::Range;

use super::values::{append_f32, check_finite, to_i64};
use super::{Format, Source, TensorInfo, header, shards};
use crate::{Error, Result};

/// How many bytes of a tensor are held in their file's type while they are being converted.
const BATCH: u64 = 16 << 20;

/// The tensors of one or more safetensors files.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    source: Source,
    tensors: Vec<(String, TensorInfo)>,
    places: HashMap<String, usize>,
}

impl Checkpoint {
    /// Opens the checkpoint `stem` of `folder`, for example `("transformer", "diffusion_pytorch_model")` or
    /// `("text_encoder", "model")`: one file, or shards with an index; the fp16 variant where there is no other.
    pub async fn open(source: &Source, folder: &str, stem: &str) -> Result<Self> {
        Ok(Self::new(source, shards::read(source, folder, stem).await?))
    }

    /// Opens one safetensors file.
    pub async fn open_file(source: &Source, file: &str) -> Result<Self> {
        Ok(Self::new(source, header::read(source, file).await?))
    }

    fn new(source: &Source, tensors: Vec<(String, TensorInfo)>) -> Self {
        let places = tensors.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        Self { source: source.clone(), tensors, places }
    }

    /// All tensors, in the order in which they lie in their files.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// The tensor `name`, where there is one.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.places.get(name).map(|&place| &self.tensors[place].1)
    }

    /// The tensor `name`, which must be there and have `shape`.
    pub fn require(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo> {
        let info = self.find(name)?;
        if info.shape != shape {
            return Err(Error::tensor(name, format!("the shape should be {shape:?}, it is {:?}", info.shape)));
        }
        Ok(info)
    }

    /// The whole of a tensor as `f32`.
    pub async fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let rows = self.find(name)?.rows();
        self.read_rows_f32(name, 0..rows).await
    }

    /// Some rows (along the first dimension) of a tensor as `f32`; NaN or an infinity among them is an error.
    pub async fn read_rows_f32(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>> {
        let (info, rows) = self.rows(name, rows)?;
        let k = info.row_len();
        let mut values = Vec::with_capacity(k * rows.len());
        for batch in info.batches(rows) {
            let start = values.len();
            let bytes = self.source.read_range(&info.file, info.bytes_of(&batch)).await?;
            append_f32(info.dtype, &bytes, &mut values)
                .and_then(|()| check_finite(&values[start..]))
                .map_err(|unfit| unfit.after(batch.start * k).of(name))?;
        }
        Ok(values)
    }

    /// Some rows (along the first dimension) of a tensor as `format` stores them, each of the product of the other
    /// dimensions. Types that are already right are copied, without a detour through `f32`.
    pub async fn read_rows_as(&self, name: &str, rows: Range<usize>, format: Format) -> Result<Vec<u32>> {
        let (info, rows) = self.rows(name, rows)?;
        let k = info.row_len();
        let mut words = Vec::with_capacity(format.row_words(k) * rows.len());
        for batch in info.batches(rows) {
            let bytes = self.source.read_range(&info.file, info.bytes_of(&batch)).await?;
            format
                .encode_raw(info.dtype, &bytes, k, &mut words)
                .map_err(|unfit| unfit.after(batch.start * k).of(name))?;
        }
        Ok(words)
    }

    /// The whole of a tensor of integers: token ids, masks.
    pub async fn read_i64(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.find(name)?;
        let bytes = self.source.read_range(&info.file, info.offset..info.offset + info.bytes).await?;
        to_i64(info.dtype, &bytes)
            .ok_or_else(|| Error::tensor(name, format!("holds {}; integers are read from I32 and I64", info.dtype)))
    }

    fn find(&self, name: &str) -> Result<&TensorInfo> {
        self.get(name).ok_or_else(|| {
            let hint = self.nearest(name).map(|near| format!("; the nearest name is {near}")).unwrap_or_default();
            Error::tensor(name, format!("is not in the checkpoint{hint}"))
        })
    }

    /// The name that shares the most with `name` at its start and end, where that is at least half.
    fn nearest(&self, name: &str) -> Option<&str> {
        let common = |other: &str| {
            let start = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            let rest = name.len().min(other.len()) - start;
            start + name.bytes().rev().zip(other.bytes().rev()).take(rest).take_while(|(a, b)| a == b).count()
        };
        let near = self.tensors.iter().map(|(other, _)| other.as_str()).max_by_key(|other| common(other))?;
        (2 * common(near) >= name.len()).then_some(near)
    }

    fn rows(&self, name: &str, rows: Range<usize>) -> Result<(&TensorInfo, Range<usize>)> {
        let info = self.find(name)?;
        if rows.start > rows.end || rows.end > info.rows() {
            return Err(Error::tensor(name, format!("has {} rows, {rows:?} were asked for", info.rows())));
        }
        Ok((info, rows))
    }
}

impl TensorInfo {
    /// The first dimension; 1 for a single number.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The numbers in a row: the product of all dimensions but the first. Where there is no row, that may be beyond any
    /// number.
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).fold(1, |product, size| product.saturating_mul(*size))
    }

    /// Where some rows lie in the file.
    fn bytes_of(&self, rows: &Range<usize>) -> Range<u64> {
        let row = self.bytes / self.rows().max(1) as u64;
        self.offset + row * rows.start as u64..self.offset + row * rows.end as u64
    }

    /// `rows` in parts of about [`BATCH`] bytes, each of one row at least.
    fn batches(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let row = self.bytes / self.rows().max(1) as u64;
        let step = (BATCH / row.max(1)).max(1) as usize;
        let end = rows.end;
        rows.step_by(step).map(move |start| start..(start + step).min(end))
    }
}
