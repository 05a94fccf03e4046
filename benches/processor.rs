//! How fast the processor is beside PyTorch on the same cores: a whole DiT-S/2 forward (width 384, depth 12, 6 heads,
//! 256 tokens, batch 2, f32), and matrix products.
//!
//! `cargo bench --bench processor -- [threads] [part of a name]` prints milliseconds, the least of many short runs
//! (what else the machine does only ever adds to them), and GFLOP/s. `processor_torch.py` prints the same of PyTorch:
//! run both in turn.

use std::time::{Duration, Instant};

use foveate::Result;
use foveate::low_level::device::{Device, Memory, Plan, Processor, ProcessorOptions, Store};
use foveate::low_level::graph::{Element, Graph, Home, ValueId};
use foveate::low_level::kernels::{
    Activation, Attention, Columns, Gate, Linear, Modulation, Norm, ReadRows, WriteRows, activation, attention, linear,
    norm, residual,
};
use foveate::low_level::tensor::Tensor;
use foveate::low_level::weights::Format;

fn main() -> Result<()> {
    // `cargo bench` adds --bench, which is for the standard harness.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let threads = arguments.next().and_then(|threads| threads.parse().ok());
    let only = arguments.next().unwrap_or_default();
    pollster::block_on(run(threads, &only))
}

async fn run(threads: Option<usize>, only: &str) -> Result<()> {
    let processor = Processor::new(ProcessorOptions { threads, ..Default::default() })?;
    let device = Device::from(&processor);
    eprintln!("{}", device.caps());
    let mut cases =
        vec![("dit_s_2".to_owned(), dit(2, 256, 384, 6, 12)?), ("dit_s_2_1024".to_owned(), dit(2, 1024, 384, 6, 12)?)];
    for (m, k, n) in [(1024, 1024, 1024), (512, 384, 1536), (512, 1536, 384), (2048, 1152, 1152)] {
        for format in [Format::F32, Format::F16, Format::Int8] {
            let name = if format == Format::F32 { String::new() } else { format!("_{format}") };
            cases.push((format!("product_{m}_{k}_{n}{name}"), product(m, k, n, format)?));
        }
    }
    for (batch, heads, tokens, dim) in [(2, 6, 256, 64), (2, 6, 1024, 64), (2, 16, 256, 72), (1, 1, 1024, 512)] {
        cases.push((format!("attention_{batch}_{heads}_{tokens}_{dim}"), heads_of(batch, heads, tokens, dim)?));
    }
    cases.retain(|(name, _)| name.contains(only));
    for (name, graph) in &cases {
        let (store, mut best) = (filled(&device, graph).await?, Duration::MAX);
        let plan = Plan::compile(&device, graph, &store, Memory::Shared).await?;
        let (start, mut runs) = (Instant::now(), 0);
        while runs < 5 || (start.elapsed() < Duration::from_millis(1500) && runs < 500) {
            let start = Instant::now();
            plan.run(&device)?;
            device.wait().await?;
            (best, runs) = (best.min(start.elapsed()), runs + 1);
        }
        println!("{name} {:.3} {:.1}", 1e3 * best.as_secs_f64(), graph.flops() as f64 / best.as_secs_f64() / 1e9);
    }
    Ok(())
}

/// Every stored value, filled with small numbers: zeros would be multiplied no faster, but look like a mistake.
async fn filled(device: &Device, graph: &Graph) -> Result<Store> {
    let mut store = Store::new();
    for value in graph.values().iter().filter(|value| value.home == Home::Stored) {
        let mut state = 1u32;
        let numbers = (0..value.len()).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 28) as f32 - 1.0 / 32.0
        });
        let numbers: Vec<f32> = numbers.collect();
        match value.element {
            Element::Packed(format) => {
                let mut words = Vec::new();
                format.encode_rows(&numbers, value.matrix().1, &mut words).map_err(|unfit| unfit.of(&value.name))?;
                store.allocate(device, &value.name, &value.shape, value.element).await?;
                store.write_rows(device, &value.name, 0, &words)?;
            }
            _ => store.insert(device, &value.name, &Tensor::new(&value.shape, numbers)?).await?,
        }
    }
    Ok(store)
}

/// A layer with bias.
fn layer(graph: &mut Graph, x: ValueId, name: &str, [k, n]: [usize; 2], activation: Activation) -> Result<ValueId> {
    let weight = graph.stored(format!("{name}.weight"), &[n, k], Element::Packed(Format::F32));
    let bias = Some(graph.stored(format!("{name}.bias"), &[n], Element::F32));
    linear(graph, x, Linear { weight, bias, activation, rows: ReadRows::All })
}

/// The blocks of a DiT as the model builds them, each with its conditioning by adaLN-Zero, and the output layer.
fn dit(batch: usize, tokens: usize, width: usize, heads: usize, depth: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let g = &mut graph;
    let latents = g.stored("in patches", &[batch, tokens, 16], Element::F32);
    let conditioning = g.stored("in conditioning", &[batch, width], Element::F32);
    let x = layer(g, latents, "embed", [16, width], Activation::None)?;
    let plain = Norm { eps: 1e-6, ..Norm::default() };
    for block in 0..depth {
        let name = |what: &str| format!("{block}.{what}");
        let c = activation(g, conditioning, Activation::Silu)?;
        let emb = layer(g, c, &name("ada"), [width, 6 * width], Activation::None)?;
        let modulation = |shift, scale| Some(Modulation { emb, table: None, shift, scale });
        let gate = |chunk| Some(Gate { emb, table: None, chunk });
        let h = norm(g, x, Norm { modulation: modulation(0, 1), ..plain })?;
        let qkv = layer(g, h, &name("qkv"), [width, 3 * width], Activation::None)?;
        let of = |offset| Columns { value: qkv, offset };
        let head_dim = width / heads;
        let scale = (head_dim as f32).sqrt().recip();
        let options = Attention { heads, head_dim, scale, key_bias: None, position_bias: None };
        let mixed = attention(g, of(0), of(width), of(2 * width), options)?;
        let branch = layer(g, mixed, &name("out"), [width, width], Activation::None)?;
        residual(g, x, branch, gate(2), WriteRows::All)?;
        let h = norm(g, x, Norm { modulation: modulation(3, 4), ..plain })?;
        let up = layer(g, h, &name("up"), [width, 4 * width], Activation::GeluTanh)?;
        let branch = layer(g, up, &name("down"), [4 * width, width], Activation::None)?;
        residual(g, x, branch, gate(5), WriteRows::All)?;
    }
    let c = activation(g, conditioning, Activation::Silu)?;
    let emb = layer(g, c, "ada", [width, 2 * width], Activation::None)?;
    let h = norm(g, x, Norm { modulation: Some(Modulation { emb, table: None, shift: 0, scale: 1 }), ..plain })?;
    layer(g, h, "output", [width, 32], Activation::None)?;
    Ok(graph)
}

fn product(m: usize, k: usize, n: usize, format: Format) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.stored("in x", &[m, k], Element::F32);
    let weight = graph.stored("in weight", &[n, k], Element::Packed(format));
    linear(&mut graph, x, Linear { weight, bias: None, activation: Activation::None, rows: ReadRows::All })?;
    Ok(graph)
}

fn heads_of(batch: usize, heads: usize, tokens: usize, head_dim: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let width = heads * head_dim;
    let value = graph.stored("in qkv", &[batch, tokens, 3 * width], Element::F32);
    let of = |offset| Columns { value, offset };
    let options = Attention { heads, head_dim, scale: 0.125, key_bias: None, position_bias: None };
    attention(&mut graph, of(0), of(width), of(2 * width), options)?;
    Ok(graph)
}
