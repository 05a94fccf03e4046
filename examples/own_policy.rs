//! A compression policy of another crate: every layer computes all tokens in the middle of the picture, and of the
//! others only every second one. Requests name it like those of the library, with parameters.
//!
//! `cargo run --release --example own_policy [MODEL]`

use foveate::compress::{
    AnyPolicy, BlockInput, BlockRows, Choice, Compaction, Parameter, Policy, PolicyKind, RunAt, StepAt, Values,
};
use foveate::low_level::graph::{Element, Graph};
use foveate::low_level::kernels::{NOTHING, ReadRows, WriteRows};
use foveate::{Compression, Gpu, Grid, LoadOptions, Pipeline, Request, Result, Source, Tensor};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");
/// Stored: the tokens that are computed `[B, k, 1]`, and the row that each token receives `[B, N]`.
const KEPT: &str = "fovea.kept";
const PLACE: &str = "fovea.place";

/// The policy.
#[derive(Debug)]
struct Fovea {
    /// Radius of the middle, as a share of half the picture.
    radius: f64,
}

impl Fovea {
    /// The tokens that are computed.
    fn kept(&self, grid: Grid) -> Vec<u32> {
        let far = |at: usize, of: usize| (2.0 * (at as f64 + 0.5) / of as f64 - 1.0).powi(2);
        let keeps = |&token: &usize| {
            let (row, column) = (token / grid.columns, token % grid.columns);
            let inside = far(row, grid.rows) + far(column, grid.columns) <= self.radius.powi(2);
            inside || (row + column).is_multiple_of(2)
        };
        (0..grid.tokens()).filter(keeps).map(|token| token as u32).collect()
    }
}

impl Policy for Fovea {
    /// All steps are alike, so that they share one compiled graph.
    type Step = ();

    fn name(&self) -> &str {
        "fovea"
    }

    fn step(&self, _at: StepAt) {}

    fn tables(&self, RunAt { grid, samples, .. }: RunAt) -> Result<Vec<(String, Tensor)>> {
        let kept = self.kept(grid);
        let mut place = vec![NOTHING; grid.tokens()];
        kept.iter().enumerate().for_each(|(row, &token)| place[token as usize] = row as u32);
        Ok(vec![
            (KEPT.into(), Tensor::indices(&[samples, kept.len(), 1], kept.repeat(samples))?),
            (PLACE.into(), Tensor::indices(&[samples, grid.tokens()], place.repeat(samples))?),
        ])
    }

    fn block(&self, _step: &(), graph: &mut Graph, at: BlockInput) -> Result<BlockRows> {
        let (samples, kept) = (graph.shape(at.stream)[0], self.kept(at.grid).len());
        let index = graph.stored(KEPT, &[samples, kept, 1], Element::U32);
        let place = graph.stored(PLACE, &[samples, at.grid.tokens()], Element::U32);
        let rows = Compaction {
            read: ReadRows::Map { index, weight: None },
            write: WriteRows::Map { index: place, weight: None },
            ..Compaction::default()
        };
        Ok(BlockRows { attention: rows, cross: rows, mlp: rows, ..BlockRows::default() })
    }
}

/// Its name and its parameters.
#[derive(Debug)]
struct FoveaKind;

static PARAMETERS: [Parameter; 1] = [Parameter {
    name: "radius",
    default: "0.5",
    values: Values::Number(0.0, 2.0),
    help: "radius of the middle, as a share of half the picture",
}];

impl PolicyKind for FoveaKind {
    fn name(&self) -> &str {
        "fovea"
    }

    fn summary(&self) -> &str {
        "every token in the middle, every second one around it"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &PARAMETERS
    }

    fn policy(&self, Choice { parameters, .. }: Choice<'_>) -> Result<AnyPolicy> {
        Ok(AnyPolicy::new(Fovea { radius: parameters.number("radius")? }))
    }
}

fn main() -> Result<()> {
    let model = std::env::args().nth(1).unwrap_or(TINY.into());
    pollster::block_on(draw(Source::parse(&model)))
}

async fn draw(model: Source) -> Result<()> {
    let mut options = LoadOptions::default();
    options.registry.policies.add(FoveaKind);
    let gpu = Gpu::request(Default::default()).await?;
    let pipeline = Pipeline::load(&gpu, model, options, |_| {}).await?;
    for compression in [Compression::policy("dense"), Compression::policy("fovea").with("radius", 0.3)] {
        let request = Request { steps: Some(4), compression, ..Request::prompt("a red house") };
        let run = pipeline.prepare(&request).await?;
        let (name, share) = (run.policy().to_owned(), run.flops_per_step() as f64 / run.dense_flops_per_step() as f64);
        run.complete().await?.save(0, format!("own_policy-{name}.png"))?;
        println!("{name}: {:.0} % of the dense step's operations", 100.0 * share);
    }
    Ok(())
}
