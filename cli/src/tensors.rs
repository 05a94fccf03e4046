//! `--save-tensors`: what a run went through, as safetensors: numbers f32, indices i32.

use std::collections::BTreeMap;

use foveate::low_level::tensor::Data;
use foveate::{Error, Result, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Tensors by name.
#[derive(Debug, Default)]
pub struct Tensors(BTreeMap<String, Tensor>);

impl Tensors {
    /// Adds one.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.0.insert(name.into(), tensor);
    }

    /// All of them as a safetensors file.
    pub fn file(&self) -> Result<Vec<u8>> {
        let bad = |error| Error::tensor("of --save-tensors", format!("{error}"));
        let mut views = Vec::new();
        for (name, tensor) in &self.0 {
            let dtype = match tensor.data {
                Data::F32(_) => Dtype::F32,
                Data::U32(_) => Dtype::I32,
            };
            views.push((name, TensorView::new(dtype, tensor.shape.clone(), tensor.bytes()).map_err(bad)?));
        }
        safetensors::serialize(views, None).map_err(bad)
    }
}
