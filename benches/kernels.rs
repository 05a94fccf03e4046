//! How fast the heavy kernels run on this machine's adapter or processor, at the shapes of real models: GFLOP/s, median
//! of several runs taken in turn, so that a busy machine slows all of them alike.
//!
//! `cargo bench --bench kernels -- [adapter|any|cpu|cpu:THREADS] [part of a name]`
//!
//! `cargo bench --bench kernels -- tiles` measures nothing: it prints how the products of DiT-S, B and XL are cut for
//! GPUs, beside one tile of 64×64 for all.

use std::time::Instant;

use foveate::low_level::device::{Device, Memory, Plan, Processor, ProcessorOptions, Store};
use foveate::low_level::gpu::Gpu;
use foveate::low_level::graph::{Caps, Element, Graph, Home};
use foveate::low_level::kernels::{
    Activation, Attention, Columns, Linear, ProductShape, ReadRows, Tile, Tiling, attention, best_match, linear, tiling,
};
use foveate::low_level::weights::Format;
use foveate::{Error, GpuOptions, Result};

fn main() -> Result<()> {
    // `cargo bench` adds --bench, which is for the standard harness.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (name, only) = (arguments.next().unwrap_or("any".into()), arguments.next().unwrap_or_default());
    if name == "tiles" {
        print_tiles();
        return Ok(());
    }
    pollster::block_on(async { run(&open(&name).await?, &only).await })
}

async fn open(name: &str) -> Result<Device> {
    if name == "cpu" || name.starts_with("cpu:") {
        let threads = name.strip_prefix("cpu:").map(str::parse).transpose();
        let threads = threads.map_err(|_| Error::Usage(format!("{name}: it is cpu, or cpu:THREADS")))?;
        return Ok(Processor::new(ProcessorOptions { threads, ..Default::default() })?.into());
    }
    let adapter = (name != "any").then(|| name.to_owned());
    Ok(Gpu::request(GpuOptions { adapter, ..Default::default() }).await?.into())
}

async fn run(device: &Device, only: &str) -> Result<()> {
    println!("{} {:?}", device.caps(), device.caps().class);
    let mut cases = Vec::new();
    for format in [Format::F32, Format::F16, Format::Int8] {
        for (m, k, o) in [(512, 384, 1536), (512, 1536, 384), (2048, 1152, 1152), (1024, 1024, 1024), (2, 1152, 6912)] {
            cases.push((format!("linear {format} {m}×{k}×{o}"), product(m, k, o, format)?));
        }
    }
    for (batch, heads, queries, keys, dim) in [
        (2, 6, 1024, 1024, 64),
        (2, 6, 256, 256, 64),
        (2, 16, 256, 256, 72),
        (2, 16, 256, 120, 72),
        (1, 1, 1024, 1024, 512),
    ] {
        let name = format!("attention {batch}×{heads}×{queries}×{keys}×{dim}");
        cases.push((name, heads_of(batch, heads, queries, keys, dim)?));
    }
    for (batch, sources, destinations, channels) in [(2, 768, 256, 384), (2, 768, 256, 1152)] {
        let name = format!("best_match {batch}×{sources}×{destinations}×{channels}");
        cases.push((name, matching(batch, sources, destinations, channels)?));
    }
    cases.retain(|(name, _)| name.contains(only));

    let mut plans = Vec::new();
    for (name, graph) in &cases {
        let mut store = Store::new();
        for value in graph.values().iter().filter(|v| v.home == Home::Stored) {
            store.allocate(device, &value.name, &value.shape, value.element).await?;
        }
        plans.push((name, Plan::compile(device, graph, &store, Memory::Shared).await?, Vec::new()));
    }
    for _ in 0..7 {
        for (_, plan, seconds) in &mut plans {
            let start = Instant::now();
            plan.run(device)?;
            device.wait().await?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    for (name, plan, mut seconds) in plans {
        seconds.sort_by(f64::total_cmp);
        let rate = |seconds: f64| plan.flops() as f64 / seconds / 1e9;
        let (median, best) = (seconds[seconds.len() / 2], seconds[0]);
        println!("{name:36} {:8.2} ms {:8.1} GFLOP/s, at best {:8.1}", 1e3 * median, rate(median), rate(best));
    }
    Ok(())
}

/// Workgroups and threads of each product at 256 tokens with guidance, all rows and those of a policy that keeps 70 %.
/// What is empty of a cut is the share of its results that lie beyond the product's edge.
fn print_tiles() {
    let one = Tiling { tile: Tile { rows: 64, columns: 64, k_step: 16, blocks: [2, 2] }, slices: 1 };
    for busy_threads in [4096, 16_384] {
        println!("a GPU that {busy_threads} threads keep busy");
        let caps = Caps { busy_threads, ..Caps::minimum() };
        for (model, width) in [("S", 384), ("B", 768), ("XL", 1152)] {
            for rows in [512, 2 * 180] {
                for (name, columns, k) in [
                    ("qkv", 3 * width, width),
                    ("out", width, width),
                    ("up", 4 * width, width),
                    ("down", width, 4 * width),
                    ("final", 32, width),
                ] {
                    let shape = ProductShape { rows, columns, k };
                    let (now, row) = (tiling(shape, &caps), format!("{rows}×{k}·{columns}"));
                    println!("{model:3}{name:6}{row:14}  64×64 {}  chosen {}", cut(one, shape), cut(now, shape));
                }
            }
        }
    }
}

fn cut(tiling: Tiling, shape: ProductShape) -> String {
    let (Tile { rows, columns, .. }, threads) = (tiling.tile, tiling.tile.threads());
    let workgroups = tiling.workgroups(shape);
    let whole = workgroups / tiling.slices * rows * columns;
    let empty = 100.0 - 100.0 * (shape.rows * shape.columns) as f64 / whole as f64;
    let slices = tiling.slices;
    format!("{rows:3}×{columns} / {threads:3} · {slices}: {workgroups:4} × {threads:3} threads, {empty:2.0} % empty")
}

fn product(m: usize, k: usize, o: usize, format: Format) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.stored("in x", &[m, k], Element::F32);
    let weight = graph.stored("in weight", &[o, k], Element::Packed(format));
    linear(&mut graph, x, Linear { weight, bias: None, activation: Activation::None, rows: ReadRows::All })?;
    Ok(graph)
}

fn heads_of(batch: usize, heads: usize, queries: usize, keys: usize, head_dim: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let width = heads * head_dim;
    let value = graph.stored("in q", &[batch, queries, width], Element::F32);
    let q = Columns { value, offset: 0 };
    let value = graph.stored("in kv", &[batch, keys, 2 * width], Element::F32);
    let (k, v) = (Columns { value, offset: 0 }, Columns { value, offset: width });
    let options = Attention { heads, head_dim, scale: 0.125, key_bias: None, position_bias: None };
    attention(&mut graph, q, k, v, options)?;
    Ok(graph)
}

fn matching(batch: usize, sources: usize, destinations: usize, channels: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let sources = graph.stored("in sources", &[batch, sources, channels], Element::F32);
    let destinations = graph.stored("in destinations", &[batch, destinations, channels], Element::F32);
    best_match(&mut graph, sources, destinations)?;
    Ok(graph)
}
