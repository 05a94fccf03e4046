//! The kernels that most of a model's time goes into, each as hardware would run it.

use foveate::Format;
use foveate::low_level::graph::{Caps, Dispatch, Element, Graph, ValueId};
use foveate::low_level::kernels::{
    Activation, Attention, Columns, Conv2d, Linear, PRODUCT_TILES, ReadRows, Tile, attention, attention_columns,
    best_match, conv2d, linear,
};

use crate::Result;

/// A kernel to look at.
pub struct Case {
    /// What it is called in the table.
    pub name: String,
    /// The one dispatch that multiplies.
    pub dispatch: Dispatch,
    /// For a matrix product: how it spends a thread's time.
    pub work: Option<Work>,
}

/// What a thread of a matrix product does.
pub struct Work {
    /// Multiply-adds.
    pub products: u64,
    /// How often it stages a part of k.
    pub rounds: u64,
}

/// As DiT-XL/2 multiplies at 256×256 pixels with guidance: `[512, 1152]` by `[1152, 1152]`.
const ROWS: usize = 512;
const WIDTH: usize = 1152;

/// All of them.
pub fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (format, in_f16) in [(Format::F32, false), (Format::F16, false), (Format::Int8, false), (Format::F16, true)] {
        for tile in PRODUCT_TILES {
            // One format shows what the tiles differ in; of the others the tile that most products take is enough.
            if format == Format::F32 || tile == PRODUCT_TILES[2] || in_f16 {
                cases.push(product(tile, format, in_f16)?);
            }
        }
    }
    for head_dim in [32, 64, 72, 128] {
        cases.push(attention_of(head_dim, 64)?);
    }
    cases.push(attention_of(72, 32)?);
    let columns = |graph: &mut Graph| {
        let [q, k] = ["q", "k"].map(|name| Columns { value: graph.transient(name, &[1, 1024, 384]), offset: 0 });
        attention_columns(graph, q, k, heads(6, 64)).map(drop)
    };
    cases.push(case("attention_columns, heads of 64", gpu(), columns)?);
    let matching = |graph: &mut Graph| {
        let [from, to] = ["sources", "destinations"].map(|name| graph.transient(name, &[1, 768, 384]));
        best_match(graph, from, to).map(drop)
    };
    cases.push(case("best_match", gpu(), matching)?);
    let convolution = |graph: &mut Graph| {
        let x = graph.transient("x", &[1, 128, 128, 128]);
        let weight = graph.stored("weight", &[128, 128, 3, 3], Element::Packed(Format::F32));
        let options = Conv2d { weight, bias: None, stride: 1, padding: [1; 4], upsample: false };
        conv2d(graph, x, options).map(drop)
    };
    cases.push(case("conv2d, 3×3", gpu(), convolution)?);
    Ok(cases)
}

/// A GPU that fills up easily, so that no product is cut along k.
fn gpu() -> Caps {
    Caps { workgroup_memory: 32 << 10, subgroups: true, f16: true, busy_threads: 1, ..Caps::minimum() }
}

fn product(tile: Tile, format: Format, in_f16: bool) -> Result<Case> {
    let tile = if in_f16 { tile.in_halves() } else { tile };
    let mut caps = gpu();
    caps.f16 = in_f16;
    let add = |graph: &mut Graph| {
        let x = graph.transient("x", &[1, ROWS, WIDTH]);
        let weight = graph.stored("weight", &[WIDTH, WIDTH], Element::Packed(format));
        let bias = Some(graph.stored("bias", &[WIDTH], Element::F32));
        linear(graph, x, Linear { weight, bias, activation: Activation::None, rows: ReadRows::All }).map(drop)
    };
    // The tile is asked for as a measurement would: by its name among the variants.
    let mut graph = Graph::new();
    add(&mut graph)?;
    let candidates = graph.nodes()[0].op.candidates(&graph, &caps).ok_or("a product has one variant only")?;
    let Tile { rows, columns, k_step, blocks: [down, across] } = tile;
    let entry = if in_f16 { "halves" } else { "tiled" };
    let variant = format!("{entry} {rows}x{columns}x{k_step} {down}x{across} /1");
    let mut choices = foveate::low_level::graph::Choices::default();
    choices.insert(candidates.kernel, &candidates.case, &variant);
    caps.choices = choices.into();
    let arithmetic = if in_f16 { "f16" } else { "f32" };
    let name = format!("linear, {format} in {arithmetic}, {rows}×{columns}, {} threads", tile.threads());
    let mut case = case(&name, caps, add)?;
    let constant =
        |name: &str| case.dispatch.constants.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    if (case.dispatch.entry, constant("ROWS"), constant("COLUMNS")) != (entry, Some(rows as f64), Some(columns as f64))
    {
        return Err(format!("{name} is not taken: {} {:?}", case.dispatch.entry, case.dispatch.constants).into());
    }
    case.work = Some(Work {
        products: (rows * columns / tile.threads() * WIDTH) as u64,
        rounds: WIDTH.div_ceil(k_step) as u64,
    });
    Ok(case)
}

fn attention_of(head_dim: usize, queries: usize) -> Result<Case> {
    let add = |graph: &mut Graph| {
        let heads_of = 6;
        let mut whole = |name: &str| -> ValueId { graph.transient(name, &[2, 1024, heads_of * head_dim]) };
        let [q, k, v] = ["q", "k", "v"].map(|name| Columns { value: whole(name), offset: 0 });
        attention(graph, q, k, v, heads(heads_of, head_dim)).map(drop)
    };
    // Few threads fill the one GPU, none the other.
    let caps = Caps { busy_threads: if queries == 64 { 1 } else { u32::MAX }, ..gpu() };
    let case = case(&format!("attention, {queries} queries, heads of {head_dim}"), caps, add)?;
    if case.dispatch.entry != if queries == 64 { "wide" } else { "staged" } {
        return Err(format!("{} is not taken: {}", case.name, case.dispatch.entry).into());
    }
    Ok(case)
}

fn heads(heads: usize, head_dim: usize) -> Attention {
    Attention { heads, head_dim, scale: 0.125, key_bias: None, position_bias: None }
}

/// The first dispatch of the op that `add` adds.
fn case(name: &str, caps: Caps, add: impl Fn(&mut Graph) -> foveate::Result<()>) -> Result<Case> {
    let mut graph = Graph::new();
    add(&mut graph)?;
    let mut dispatches = graph.nodes()[0].op.record(&graph, &caps)?;
    Ok(Case { name: name.into(), dispatch: dispatches.swap_remove(0), work: None })
}
