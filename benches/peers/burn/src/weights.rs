//! A safetensors file on a device, in f32.

use std::path::Path;

use burn::tensor::module::linear;
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use crate::Result;

/// The tensors of a file by their names.
pub struct Weights {
    bytes: Vec<u8>,
    device: Device,
}

impl Weights {
    pub fn read(file: &Path, device: &Device) -> Result<Self> {
        Ok(Self { bytes: std::fs::read(file)?, device: device.clone() })
    }

    pub fn contains(&self, name: &str) -> Result<bool> {
        Ok(SafeTensors::deserialize(&self.bytes)?.tensor(name).is_ok())
    }

    pub fn get<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        Ok(Tensor::from_data(self.data(name)?.convert::<f32>(), &self.device))
    }

    pub fn indices(&self, name: &str) -> Result<Vec<usize>> {
        let data = self.data(name)?.try_to_vec::<i64>().map_err(|error| format!("{name}: {error:?}"))?;
        Ok(data.into_iter().map(|index| index as usize).collect())
    }

    fn data(&self, name: &str) -> Result<TensorData> {
        let file = SafeTensors::deserialize(&self.bytes)?;
        let tensor = file.tensor(name).map_err(|error| format!("{name}: {error}"))?;
        let dtype = match tensor.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            other => return Err(format!("{name} is in {other:?}").into()),
        };
        Ok(TensorData::from_bytes_vec(tensor.data().to_vec(), tensor.shape().to_vec(), dtype))
    }
}

/// A layer with bias.
pub struct Linear {
    /// `[inputs, outputs]`.
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Linear {
    /// One layer of those with these names, their outputs side by side.
    pub fn load(weights: &Weights, names: &[&str]) -> Result<Self> {
        let matrices = names.iter().map(|name| Ok(weights.get::<2>(&format!("{name}.weight"))?.transpose()));
        let biases = names.iter().map(|name| weights.get::<1>(&format!("{name}.bias")));
        let weight = Tensor::cat(matrices.collect::<Result<_>>()?, 1);
        Ok(Self::new(weight, Tensor::cat(biases.collect::<Result<_>>()?, 0)))
    }

    /// `weight [inputs, outputs]`, which is laid out anew where it was a view.
    pub fn new(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        let device = weight.device();
        Self { weight: Tensor::from_data(weight.into_data(), &device), bias }
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        linear(x, self.weight.clone(), Some(self.bias.clone()))
    }
}
