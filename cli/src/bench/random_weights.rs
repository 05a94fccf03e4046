//! The tensors of a random transformer, by diffusers' names, as a safetensors file.

use std::borrow::Cow;

use foveate::low_level::rng::Generator;
use foveate::{Error, Result};
use safetensors::{Dtype, View};

use super::shape::{CHANNELS, Kind, PATCH, Shape};

/// The most bytes of weights that are made up in memory.
const MOST_BYTES: u64 = 16 << 30;
/// Numbers that are drawn; tensors read them round and round, as no time depends on their values. A prime, so that rows
/// do not repeat.
const DRAWN: usize = 262_139;
/// Waves of a timestep, see `models::parts`.
const WAVES: usize = 256;

/// The file, in f32. Every matrix keeps the variance of what it is given, so that activations stay finite.
pub fn file(shape: &Shape) -> Result<Vec<u8>> {
    let tensors = tensors(shape);
    let bytes =
        tensors.iter().map(|(_, shape)| 4 * shape.iter().map(|&side| side as u64).product::<u64>()).sum::<u64>();
    if bytes > MOST_BYTES {
        let [gib, most] = [bytes, MOST_BYTES].map(|bytes| bytes >> 30);
        return Err(Error::Usage(format!("--shape: {gib} GiB of random weights, more than the {most} that are made")));
    }
    let drawn = Generator::manual_seed(0).randn(DRAWN);
    let mut first = 0;
    let mut views = Vec::new();
    for (name, shape) in tensors {
        let tensor = Tensor { drawn: &drawn, first, shape };
        first = (first + tensor.len()) % DRAWN;
        views.push((name, tensor));
    }
    safetensors::serialize(views, None).map_err(|error| Error::tensor("of --shape", error.to_string()))
}

/// Names and shapes.
fn tensors(shape: &Shape) -> Vec<(String, Vec<usize>)> {
    let &Shape { kind, width, layers, .. } = shape;
    let mut all = Tensors(Vec::new());
    all.add("pos_embed.proj.weight", &[width, CHANNELS[0], PATCH, PATCH]);
    all.add("pos_embed.proj.bias", &[width]);
    for layer in 0..layers {
        let block = format!("transformer_blocks.{layer}");
        all.attention(&format!("{block}.attn1"), width);
        match kind {
            Kind::Dit => {
                all.timestep(&format!("{block}.norm1.emb"), width);
                all.add(format!("{block}.norm1.emb.class_embedder.embedding_table.weight"), &[2, width]);
                all.linear(format!("{block}.norm1.linear"), width, 6 * width);
            }
            Kind::PixArt => {
                all.attention(&format!("{block}.attn2"), width);
                all.add(format!("{block}.scale_shift_table"), &[6, width]);
            }
        }
        all.linear(format!("{block}.ff.net.0.proj"), width, 4 * width);
        all.linear(format!("{block}.ff.net.2"), 4 * width, width);
        all.add(format!("{block}.router.weight"), &[1, width]);
    }
    let patch = PATCH * PATCH * CHANNELS[1];
    match kind {
        Kind::Dit => {
            all.linear("proj_out_1", width, 2 * width);
            all.linear("proj_out_2", width, patch);
        }
        Kind::PixArt => {
            all.timestep("adaln_single.emb", width);
            all.linear("adaln_single.linear", width, 6 * width);
            all.add("scale_shift_table", &[2, width]);
            all.linear("proj_out", width, patch);
        }
    }
    all.0
}

struct Tensors(Vec<(String, Vec<usize>)>);

impl Tensors {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push((name.into(), shape.to_vec()));
    }

    fn linear(&mut self, name: impl AsRef<str>, input: usize, output: usize) {
        self.add(format!("{}.weight", name.as_ref()), &[output, input]);
        self.add(format!("{}.bias", name.as_ref()), &[output]);
    }

    fn attention(&mut self, name: &str, width: usize) {
        for part in ["to_q", "to_k", "to_v", "to_out.0"] {
            self.linear(format!("{name}.{part}"), width, width);
        }
    }

    fn timestep(&mut self, name: &str, width: usize) {
        self.linear(format!("{name}.timestep_embedder.linear_1"), WAVES, width);
        self.linear(format!("{name}.timestep_embedder.linear_2"), width, width);
    }
}

/// A tensor that is made when it is written: the file is the only copy.
struct Tensor<'a> {
    drawn: &'a [f32],
    first: usize,
    shape: Vec<usize>,
}

impl Tensor<'_> {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let inputs = match &self.shape[..] {
            [_, inputs @ ..] if !inputs.is_empty() => inputs.iter().product(),
            _ => self.len(),
        };
        let scale = (inputs as f32).sqrt().recip();
        let drawn = self.drawn.iter().cycle().skip(self.first).take(self.len());
        let values: Vec<f32> = drawn.map(|value| value * scale).collect();
        bytemuck::cast_slice(&values).to_vec().into()
    }

    fn data_len(&self) -> usize {
        4 * self.len()
    }
}
