//! The ops of a DiT block by themselves, at the published sizes.

use foveate::Result;
use foveate::low_level::graph::{Element, Graph};
use foveate::low_level::kernels::{
    Activation, Attention, Columns, Gate, Linear, Modulation, Norm, NormKind, ReadRows, WriteRows, attention, linear,
    norm, residual,
};
use foveate::low_level::weights::Format;

/// A published size: Peebles and Xie, "Scalable Diffusion Models with Transformers", table 1.
#[derive(Clone, Copy, Debug)]
pub struct Dit {
    pub name: &'static str,
    /// C.
    pub width: usize,
    /// H.
    pub heads: usize,
}

/// All of them.
pub const SIZES: [Dit; 4] = [
    Dit { name: "S", width: 384, heads: 6 },
    Dit { name: "B", width: 768, heads: 12 },
    Dit { name: "L", width: 1024, heads: 16 },
    Dit { name: "XL", width: 1152, heads: 16 },
];

/// An op, and a graph of it alone.
#[derive(Debug)]
pub struct Measured {
    pub name: &'static str,
    pub graph: Graph,
}

/// The ops of a block of `dit` for `batch` samples of `tokens` tokens, with weights in `format`.
pub fn of_block(dit: Dit, batch: usize, tokens: usize, format: Format) -> Result<Vec<Measured>> {
    let width = dit.width;
    let product = |name, k, columns, activation| -> Result<Measured> {
        let mut graph = Graph::new();
        let x = graph.stored("x", &[batch, tokens, k], Element::F32);
        let weight = graph.stored("weight", &[columns, k], Element::Packed(format));
        let bias = Some(graph.stored("bias", &[columns], Element::F32));
        linear(&mut graph, x, Linear { weight, bias, activation, rows: ReadRows::All })?;
        Ok(Measured { name, graph })
    };
    Ok(vec![
        modulated_norm(batch, tokens, width)?,
        product("qkv", width, 3 * width, Activation::None)?,
        self_attention(dit, batch, tokens)?,
        product("out", width, width, Activation::None)?,
        product("mlp up", width, 4 * width, Activation::GeluTanh)?,
        product("mlp down", 4 * width, width, Activation::None)?,
        gated_residual(batch, tokens, width)?,
    ])
}

fn modulated_norm(batch: usize, tokens: usize, width: usize) -> Result<Measured> {
    let mut graph = Graph::new();
    let x = graph.stored("x", &[batch, tokens, width], Element::F32);
    let emb = graph.stored("emb", &[batch, 6 * width], Element::F32);
    let modulation = Some(Modulation { emb, table: None, shift: 0, scale: 1 });
    let options = Norm { kind: NormKind::Layer, eps: 1e-6, modulation, rows: ReadRows::All, ..Norm::default() };
    norm(&mut graph, x, options)?;
    Ok(Measured { name: "norm", graph })
}

fn self_attention(Dit { width, heads, .. }: Dit, batch: usize, tokens: usize) -> Result<Measured> {
    let mut graph = Graph::new();
    let value = graph.stored("qkv", &[batch, tokens, 3 * width], Element::F32);
    let [q, k, v] = [0, 1, 2].map(|part| Columns { value, offset: part * width });
    let head_dim = width / heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    attention(&mut graph, q, k, v, Attention { heads, head_dim, scale, key_bias: None, position_bias: None })?;
    Ok(Measured { name: "attention", graph })
}

fn gated_residual(batch: usize, tokens: usize, width: usize) -> Result<Measured> {
    let mut graph = Graph::new();
    let [x, branch] = ["x", "branch"].map(|name| graph.stored(name, &[batch, tokens, width], Element::F32));
    let emb = graph.stored("emb", &[batch, 6 * width], Element::F32);
    residual(&mut graph, x, branch, Some(Gate { emb, table: None, chunk: 2 }), WriteRows::All)?;
    Ok(Measured { name: "residual", graph })
}

/// Bytes that an op reads and writes at least: each value once, and twice what it changes in place.
pub fn bytes(graph: &Graph) -> u64 {
    use foveate::low_level::graph::Access;
    let touched = graph.nodes().iter().flat_map(|node| node.op.access());
    touched.map(|(id, access)| graph.get(id).bytes() * if access == Access::Update { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_the_work_that_the_paper_counts() {
        let ops = of_block(SIZES[3], 2, 256, Format::F16).unwrap();
        let flops: u64 = ops.iter().map(|op| op.graph.flops()).sum();
        // 12·C² a token for the products and 2·N·C for attention, in multiply-adds: 28 of them are the paper's 118 GFLOP.
        let expected = 2 * 512 * (12 * 1152 * 1152 + 2 * 256 * 1152);
        assert_eq!(flops, expected);
        let residual = ops.last().unwrap();
        assert_eq!(bytes(&residual.graph), 4 * (3 * 2 * 256 * 1152 + 2 * 6 * 1152));
    }
}
