//! DiT and PixArt on burn: the same functions, part by part, as in `transformer.py`.
//!
//! Shapes: B samples, N tokens, C channels, S tokens of text.

use std::path::Path;

use burn::tensor::activation::{gelu_approximate, silu};
use burn::tensor::module::{attention, layer_norm};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

use crate::Result;
use crate::weights::{Linear, Weights};

/// Of the output layer's norm, and of DiT's first.
const EPS: f64 = 1e-6;

/// A transformer with the inputs of a step.
pub struct Transformer {
    latents: Tensor<4>,
    timestep: Tensor<1>,
    positions: Tensor<3>,
    /// Of the timestep's cosines and sines.
    frequencies: Tensor<2>,
    batch: usize,
    patch: usize,
    embed: Linear,
    /// PixArt: what all blocks share.
    shared: Option<[Linear; 3]>,
    blocks: Vec<Block>,
    last: Condition,
    /// What norms without weights are multiplied by.
    ones: Tensor<1>,
    project: Linear,
}

struct Block {
    heads: usize,
    eps: [f64; 2],
    condition: Condition,
    qkv: Linear,
    out: Linear,
    cross: Option<Cross>,
    up: Linear,
    down: Linear,
}

/// Attention to the text, whose keys and values are the same in every step.
struct Cross {
    q: Linear,
    out: Linear,
    /// `[B, H, S, D]`.
    keys: Tensor<4>,
    values: Tensor<4>,
    /// `[B, H, N, S]`: a real prompt masks its padding.
    bias: Tensor<4>,
}

/// Where shifts, scales and gates come from.
enum Condition {
    /// DiT: an embedding of timestep and class, `[B, C]`, of the block's own.
    Own { timestep: [Linear; 2], classes: Tensor<2>, linear: Linear },
    /// PixArt: `[1, M, C]`, to which what is given is added.
    Table(Tensor<3>),
}

impl Transformer {
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let json = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
        let case = json(&folder.join("case.json"))?;
        let model = Path::new(case["model"].as_str().ok_or("case.json has no model")?).join("transformer");
        let config = json(&model.join("config.json"))?;
        let count = |name: &str| config[name].as_u64().map(|n| n as usize).ok_or(format!("config.json has no {name}"));
        let (heads, layers, patch) = (count("num_attention_heads")?, count("num_layers")?, count("patch_size")?);
        let weights = Weights::read(&model.join("diffusion_pytorch_model.safetensors"), device)?;
        let inputs = Weights::read(&folder.join("inputs.safetensors"), device)?;
        let positions: Tensor<3> = inputs.get("positions")?;
        let [_, tokens, width] = positions.dims();
        let norm_eps = config["norm_eps"].as_f64().ok_or("config.json has no norm_eps")?;

        let dit = inputs.contains("classes")?;
        let text = if dit { None } else { Some(project_text(&weights, inputs.get("text")?)?) };
        let batch = match &text {
            None => inputs.indices("classes")?.len(),
            Some(text) => text.dims()[0],
        };
        let condition = |block: usize, layer: Option<&str>| {
            let name = format!("transformer_blocks.{block}.norm1");
            Condition::own(&weights, &inputs, &name, layer.unwrap_or(&format!("{name}.linear")))
        };
        let table = |name: &str| -> Result<Condition> { Ok(Condition::Table(weights.get::<2>(name)?.unsqueeze())) };
        let block = |i: usize| -> Result<Block> {
            let name = |part: &str| format!("transformer_blocks.{i}.{part}");
            let load = |parts: &[&str]| {
                let names: Vec<String> = parts.iter().map(|part| name(part)).collect();
                Linear::load(&weights, &names.iter().map(String::as_str).collect::<Vec<_>>())
            };
            Ok(Block {
                heads,
                eps: [if dit { EPS } else { norm_eps }, norm_eps],
                condition: if dit { condition(i, None)? } else { table(&name("scale_shift_table"))? },
                qkv: load(&["attn1.to_q", "attn1.to_k", "attn1.to_v"])?,
                out: load(&["attn1.to_out.0"])?,
                cross: match &text {
                    None => None,
                    Some(text) => {
                        let kv = load(&["attn2.to_k", "attn2.to_v"])?.forward(text.clone());
                        let [keys, values] = [0, width].map(|first| split(kv.clone().narrow(2, first, width), heads));
                        let bias = Tensor::zeros([batch, heads, tokens, text.dims()[1]], device);
                        Some(Cross { q: load(&["attn2.to_q"])?, out: load(&["attn2.to_out.0"])?, keys, values, bias })
                    }
                },
                up: load(&["ff.net.0.proj"])?,
                down: load(&["ff.net.2"])?,
            })
        };
        let patches: Tensor<4> = weights.get("pos_embed.proj.weight")?;
        let shift = if dit { 1.0 } else { 0.0 };
        let frequencies: Vec<f32> = (0..128).map(|i| (-(10_000f32.ln()) * i as f32 / (128.0 - shift)).exp()).collect();
        Ok(Self {
            latents: inputs.get("latents")?,
            timestep: inputs.get("timestep")?,
            positions,
            frequencies: Tensor::from_data(TensorData::new(frequencies, [1, 128]), device),
            batch,
            patch,
            embed: Linear::new(patches.flatten::<2>(1, 3).transpose(), weights.get("pos_embed.proj.bias")?),
            shared: match dit {
                true => None,
                false => Some([
                    Linear::load(&weights, &["adaln_single.emb.timestep_embedder.linear_1"])?,
                    Linear::load(&weights, &["adaln_single.emb.timestep_embedder.linear_2"])?,
                    Linear::load(&weights, &["adaln_single.linear"])?,
                ]),
            },
            blocks: (0..layers).map(block).collect::<Result<_>>()?,
            last: if dit { condition(0, Some("proj_out_1"))? } else { table("scale_shift_table")? },
            ones: Tensor::ones([width], device),
            project: Linear::load(&weights, &[if dit { "proj_out_2" } else { "proj_out" }])?,
        })
    }

    /// The prediction `[B, Cout, H, W]`.
    pub fn step(&self) -> Tensor<4> {
        let ([_, channels, height, width], p) = (self.latents.dims(), self.patch);
        let (rows, columns) = (height / p, width / p);
        let patches = self.latents.clone().reshape([1, channels, rows, p, columns, p]).permute([0, 2, 4, 1, 3, 5]);
        let x = self.embed.forward(patches.reshape([1, rows * columns, channels * p * p])) + self.positions.clone();
        let mut x = x.repeat_dim(0, self.batch); // [B, N, C]
        let angles = self.timestep.clone().unsqueeze_dim::<2>(1) * self.frequencies.clone();
        let waves = Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1); // [1, 256]
        let (given, last) = match &self.shared {
            None => (waves.clone().unsqueeze_dim(1), waves.unsqueeze_dim(1)),
            Some([first, second, linear]) => {
                let embedded = second.forward(silu(first.forward(waves)));
                let [_, width] = embedded.dims();
                (linear.forward(silu(embedded.clone())).reshape([1, 6, width]), embedded.unsqueeze_dim::<3>(1))
            }
        };
        for block in &self.blocks {
            x = block.forward(x, given.clone(), &self.ones);
        }
        let [shift, scale] = self.last.chunks(last);
        let patches = self.project.forward(layer_norm(x, self.ones.clone(), None, EPS) * (scale + 1.0) + shift);
        let out = patches.dims()[2] / p / p;
        let patches = patches.reshape([self.batch, rows, columns, p, p, out]).permute([0, 5, 1, 3, 2, 4]);
        patches.reshape([self.batch, out, height, width])
    }
}

impl Block {
    /// `x [B, N, C]` to the same.
    fn forward(&self, x: Tensor<3>, given: Tensor<3>, ones: &Tensor<1>) -> Tensor<3> {
        let [shift1, scale1, gate1, shift2, scale2, gate2] = self.condition.chunks(given);
        let [_, _, width] = x.dims();
        let h = layer_norm(x.clone(), ones.clone(), None, self.eps[0]) * (scale1 + 1.0) + shift1;
        let qkv = self.qkv.forward(h);
        let [q, k, v] = [0, 1, 2].map(|part| split(qkv.clone().narrow(2, part * width, width), self.heads));
        let mixed = merge(attention(q, k, v, None, None, Default::default()));
        let mut x = x + gate1 * self.out.forward(mixed);
        if let Some(Cross { q, out, keys, values, bias }) = &self.cross {
            let queries = split(q.forward(x.clone()), self.heads);
            let bias = Some(bias.clone());
            let mixed = attention(queries, keys.clone(), values.clone(), None, bias, Default::default());
            x = x + out.forward(merge(mixed));
        }
        let h = layer_norm(x.clone(), ones.clone(), None, self.eps[1]) * (scale2 + 1.0) + shift2;
        x + gate2 * self.down.forward(gelu_approximate(self.up.forward(h)))
    }
}

impl Condition {
    fn own(weights: &Weights, inputs: &Weights, name: &str, linear: &str) -> Result<Self> {
        let layer = |part: &str| Linear::load(weights, &[&format!("{name}.emb.timestep_embedder.{part}")]);
        let table: Tensor<2> = weights.get(&format!("{name}.emb.class_embedder.embedding_table.weight"))?;
        let rows = inputs.indices("classes")?.into_iter().map(|class| table.clone().narrow(0, class, 1));
        let classes = Tensor::cat(rows.collect(), 0);
        let timestep = [layer("linear_1")?, layer("linear_2")?];
        Ok(Self::Own { timestep, classes, linear: Linear::load(weights, &[linear])? })
    }

    /// Chunks `[1 or B, 1, C]`. Given are the waves `[1, 1, 256]`, or what all blocks share, `[1, 1 or M, C]`.
    fn chunks<const M: usize>(&self, given: Tensor<3>) -> [Tensor<3>; M] {
        match self {
            Self::Own { timestep: [first, second], classes, linear } => {
                let timestep = second.forward(silu(first.forward(given)));
                let sum = classes.clone().unsqueeze_dim::<3>(1) + timestep;
                let width = sum.dims()[2];
                let emb = linear.forward(silu(sum));
                std::array::from_fn(|chunk| emb.clone().narrow(2, chunk * width, width))
            }
            Self::Table(table) => {
                let sum = table.clone() + given;
                std::array::from_fn(|chunk| sum.clone().narrow(1, chunk, 1))
            }
        }
    }
}

/// The text `[B, S, D]` at the model's width.
fn project_text(weights: &Weights, text: Tensor<3>) -> Result<Tensor<3>> {
    if !weights.contains("caption_projection.linear_1.weight")? {
        return Ok(text);
    }
    let layer = |part: &str| Linear::load(weights, &[&format!("caption_projection.{part}")]);
    Ok(layer("linear_2")?.forward(gelu_approximate(layer("linear_1")?.forward(text))))
}

/// `[B, N, C]` to `[B, H, N, D]`.
fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
}

/// `[B, H, N, D]` to `[B, N, C]`.
fn merge(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, tokens, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, tokens, heads * width])
}
