//! A kernel of another crate inside a pipeline: it measures how long each token's row is, and a policy keeps the
//! longest in every layer. The op's CPU reference runs the same picture without a GPU, which shows that the two agree.
//!
//! `cargo run --release --example own_kernel`

use foveate::compress::{AnyPolicy, BlockInput, BlockRows, Choice, Compaction, Policy, PolicyKind, StepAt};
use foveate::low_level::device::Reference;
use foveate::low_level::graph::reference::HostValues;
use foveate::low_level::graph::{Caps, Dispatch, Graph, Op, Pass, Shader, ValueId};
use foveate::low_level::kernels::{WriteRows, select};
use foveate::{Compression, Device, Error, Gpu, LoadOptions, Pictures, Pipeline, Request, Result, Source, params};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");

static SHADER: Shader = Shader::new(
    "row_length",
    "
    struct Params { rows: u32, channels: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;             // [B, N, C]
    @group(0) @binding(2) var<storage, read_write> out: array<f32>;     // [B, N]

    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3u) {
        if id.x >= params.rows {
            return;
        }
        var sum = 0.0;
        for (var c = 0u; c < params.channels; c++) {
            let value = x[id.x * params.channels + c];
            sum += value * value;
        }
        out[id.x] = sqrt(sum);
    }
    ",
);

params! {
    /// Uniform of the shader.
    struct Params { rows: u32, channels: u32 }
}

/// The op: the length of each row of `x [B, N, C]`, as `[B, N]`.
#[derive(Debug)]
struct RowLength {
    x: ValueId,
    out: ValueId,
}

fn row_length(graph: &mut Graph, x: ValueId) -> Result<ValueId> {
    let [batch, tokens, _] = graph.dims("row_length", x)?;
    let out = graph.transient("row length", &[batch, tokens]);
    graph.push(RowLength { x, out });
    Ok(out)
}

impl Op for RowLength {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (rows, channels) = graph.get(self.x).matrix();
        let params = Params { rows: rows as u32, channels: channels as u32 };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(rows.div_ceil(64) as u64))])
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (_, channels) = graph.get(self.x).matrix();
        let rows = host.f32(self.x).chunks(channels);
        let lengths = rows.map(|row| row.iter().map(|v| v * v).sum::<f32>().sqrt()).collect();
        host.write(graph, self.out, lengths);
    }
}

/// Keeps the half of the tokens whose rows are longest.
#[derive(Debug)]
struct Longest;

impl Policy for Longest {
    type Step = ();

    fn name(&self) -> &str {
        "longest"
    }

    fn step(&self, _at: StepAt) {}

    fn block(&self, _step: &(), graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        let lengths = row_length(graph, at.stream)?;
        let kept = select(graph, lengths, at.grid.tokens() / 2)?;
        let write = WriteRows::Map { index: kept.place, weight: None };
        let rows = Compaction { read: kept.read(), write, ..Compaction::default() };
        Ok(BlockRows { attention: rows, cross: rows, mlp: rows, ..BlockRows::default() })
    }
}

impl PolicyKind for Longest {
    fn name(&self) -> &str {
        "longest"
    }

    fn summary(&self) -> &str {
        "the half of the tokens with the longest rows"
    }

    fn policy(&self, _choice: Choice<'_>) -> Result<AnyPolicy> {
        Ok(AnyPolicy::new(Longest))
    }
}

fn main() -> Result<()> {
    pollster::block_on(async {
        let gpu = Gpu::request(Default::default()).await?;
        let drawn = draw(gpu.into()).await?;
        let checked = draw((&Reference::new()).into()).await?;
        let off = drawn.0.f32().iter().zip(checked.0.f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("the kernel and its reference draw pictures that differ by {off:.1e}");
        match off <= 2e-3 {
            true => drawn.save(0, "own_kernel.png"),
            false => Err(Error::shape("row_length", "the kernel is not what its reference says")),
        }
    })
}

async fn draw(device: Device) -> Result<Pictures> {
    let mut options = LoadOptions::default();
    options.registry.policies.add(Longest);
    let pipeline = Pipeline::load(device, Source::parse(TINY), options, |_| {}).await?;
    let compression = Compression::policy("longest");
    pipeline.generate(&Request { steps: Some(2), compression, ..Request::prompt("a red house") }).await
}
