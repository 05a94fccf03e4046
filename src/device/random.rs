//! Random contents for what is measured: zeros would be multiplied faster by some devices, or with less power.

use super::{Device, Store};
use crate::graph::{Element, Graph, Home, ValueId};
use crate::rng::Generator;
use crate::{Error, Result};

impl Store {
    /// Adds every stored value of `graph` that is not here yet: normally distributed numbers, and indices that its ops
    /// may read.
    pub async fn fill_missing(&mut self, device: &Device, graph: &Graph) -> Result<()> {
        let mut random = Generator::manual_seed(0);
        let read = |id| graph.nodes().iter().flat_map(|node| node.op.indices(graph)).find(move |i| i.value == id);
        for (index, value) in graph.values().iter().enumerate() {
            if value.home != Home::Stored || self.contains(&value.name) {
                continue;
            }
            self.allocate(device, &value.name, &value.shape, value.element).await?;
            match value.element {
                Element::F32 => {
                    self.write(device, &value.name, bytemuck::cast_slice(&random.randn(value.len())))?;
                }
                Element::U32 => {
                    // The first rows, in their order, as far as there are so many.
                    let below = read(ValueId(index as u32)).map_or(1, |indices| indices.below.max(1));
                    let indices: Vec<u32> = (0..value.len()).map(|i| (i % below) as u32).collect();
                    self.write(device, &value.name, bytemuck::cast_slice(&indices))?;
                }
                Element::Packed(format) => {
                    let (rows, k) = value.matrix();
                    let mut words = Vec::new();
                    let packed = format.encode_rows(&random.randn(rows * k), k, &mut words);
                    packed.map_err(|unfit| Error::tensor(&value.name, format!("{unfit:?}")))?;
                    self.write_rows(device, &value.name, 0, &words)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::kernels::{Activation, Linear, ReadRows, linear};
    use crate::testing::processors;
    use crate::weights::Format;

    #[test]
    fn what_is_there_stays_and_indices_are_in_bounds() {
        let device = &processors()[0];
        let mut graph = Graph::new();
        let x = graph.stored("x", &[1, 3, 8], Element::F32);
        let weight = graph.stored("w", &[4, 8], Element::Packed(Format::F16));
        let index = graph.stored("index", &[1, 3, 1], Element::U32);
        let rows = ReadRows::Map { index, weight: None };
        linear(&mut graph, x, Linear { weight, bias: None, activation: Activation::None, rows }).unwrap();
        let mut store = Store::new();
        block_on(async {
            store.insert(device, "x", &crate::Tensor::new(&[1, 3, 8], vec![2.0; 24]).unwrap()).await.unwrap();
            store.fill_missing(device, &graph).await.unwrap();
            assert_eq!(store.read(device, "x").await.unwrap().f32(), [2.0; 24]);
            assert_eq!(store.read(device, "index").await.unwrap().u32(), [0, 1, 2]);
            let words = device.read(store.buffer("w").unwrap(), 64).await.unwrap();
            assert!(words.iter().any(|byte| *byte != 0));
        });
    }
}
