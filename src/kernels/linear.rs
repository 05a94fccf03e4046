//! The matrix product of every layer: y = act(x · Wᵀ + b), with weights as they are packed and rows as they are mapped.

use super::host::panels::Weight;
use super::host::product::{Finish, product};
use super::sum_slices::sum_slices;
use super::tiles::{PRODUCT_TILES, ProductShape, Tiling, tiling, tilings, tilings_in_halves, tilings_in_units};
use super::{Activation, ReadRows, linear_broadcast, linear_f16, linear_matrix_8, linear_matrix_16, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{
    Access, AdapterClass, Candidates, Caps, Dispatch, Element, Graph, Host, Indices, MatrixUnits, Op, Pass, Shader,
    ValueId,
};
use crate::size::elements;
use crate::weights::Format;
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("linear", "product", "activations", "outer");

params! {
    /// Uniform of `linear.wgsl`.
    struct Params {
        base: u32,
        rows: u32,
        columns: u32,
        k: u32,
        row_words: u32,
        first: u32,
        width: u32,
        compact: u32,
        source: u32,
        slices: u32,
        slice_k: u32,
    }
}

/// What [`linear`] multiplies with, and what it does besides.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// `[O, K, …]`, packed; further dimensions count as part of K.
    pub weight: ValueId,
    /// `[O]`.
    pub bias: Option<ValueId>,
    /// Applied to each result.
    pub activation: Activation,
    /// Which rows of x to compute on; a map must name one source per row.
    pub rows: ReadRows,
}

#[derive(Debug)]
struct Product {
    x: ValueId,
    out: ValueId,
    options: Linear,
    format: Format,
    /// How hardware cuts it, where a test says so; else `tiles.rs` does.
    tiling: Option<Tiling>,
    /// Whether x may have numbers beyond f16.
    beyond_f16: bool,
}

/// What a product binds, by pass: all at once, or slices of k and then their sum.
const WHOLE: usize = 0;
const SLICES: usize = 1;
const SUM: usize = 2;

/// So many ways of a product are measured at most. Those that come later are estimated to be several times slower.
const MOST_VARIANTS: usize = 10;

/// A kernel of the product, and the results of one of its workgroups.
struct Way {
    shader: &'static Shader,
    entry: &'static str,
    rows: usize,
    columns: usize,
    tiling: Option<Tiling>,
    lanes: Option<u32>,
}

impl Way {
    fn plain(entry: &'static str, rows: usize, columns: usize) -> Self {
        Self { shader: &SHADER, entry, rows, columns, tiling: None, lanes: None }
    }

    fn direct() -> Self {
        Self::plain("direct", 16, 64)
    }

    fn broadcast(lanes: u32) -> Self {
        let shader = &linear_broadcast::SHADER;
        Self { shader, lanes: Some(lanes), ..Self::plain("broadcast", 16, 8 * lanes as usize) }
    }

    fn tiled(tiling: Tiling) -> Self {
        Self { tiling: Some(tiling), ..Self::plain("tiled", tiling.tile.rows, tiling.tile.columns) }
    }

    fn halves(tiling: Tiling) -> Self {
        Self { shader: &linear_f16::SHADER, entry: "halves", ..Self::tiled(tiling) }
    }

    fn units(units: MatrixUnits, tiling: Tiling) -> Self {
        let shader = match units {
            MatrixUnits::Eight => &linear_matrix_8::SHADER,
            MatrixUnits::Sixteen => &linear_matrix_16::SHADER,
        };
        Self { shader, entry: "units", ..Self::tiled(tiling) }
    }

    /// Whether it multiplies in f16.
    fn is_in_f16(&self) -> bool {
        matches!(self.entry, "halves" | "units")
    }

    /// The `override` constants that not all ways have.
    fn constants(&self, k: usize) -> Vec<(&'static str, f64)> {
        let mut all = Vec::new();
        if let Some(Tiling { tile, .. }) = self.tiling {
            let [down, across] = tile.blocks.map(|blocks| blocks as f64);
            all.extend([("ROWS", tile.rows as f64), ("COLUMNS", tile.columns as f64), ("K_STEP", tile.k_step as f64)]);
            match self.entry {
                "units" => all.push(("THREADS", tile.threads() as f64)),
                _ => all.extend([("BLOCKS_DOWN", down), ("BLOCKS_ACROSS", across)]),
            }
        }
        if self.is_in_f16() {
            all.push(("VEC8", f64::from(u8::from(k.is_multiple_of(8)))));
        }
        all.extend(self.lanes.map(|lanes| ("LANES", f64::from(lanes))));
        all
    }

    /// Its name among the variants: see [`Candidates`].
    fn name(&self) -> String {
        self.tiling.map_or(self.entry.into(), |tiling| format!("{} {tiling}", self.entry))
    }
}

/// act(x · Wᵀ + b) for x `[…, K]`, or `[B, N, K]` read through a map.
pub fn linear(graph: &mut Graph, x: ValueId, options: Linear) -> Result<ValueId> {
    product_of(graph, x, options, None)
}

fn product_of(graph: &mut Graph, x: ValueId, options: Linear, tiling: Option<Tiling>) -> Result<ValueId> {
    let op = SHADER.name;
    let weight = graph.get(options.weight);
    let Element::Packed(format) = weight.element else {
        return Err(Error::shape(op, format!("{} is no packed weight", weight.name)));
    };
    let (columns, k) = weight.matrix();
    let mut shape = graph.shape(x).to_vec();
    if shape.last() != Some(&k) || weight.is_empty() || graph.get(x).is_empty() {
        let x = &graph.get(x).name;
        let reason = format!("{x} {shape:?} cannot be multiplied with {} {:?}", weight.name, weight.shape);
        return Err(Error::shape(op, reason));
    }
    let name = weight.name.trim_end_matches(".weight").to_owned();
    if let Some(bias) = options.bias {
        graph.expect(op, bias, &[columns])?;
    }
    if let ReadRows::Map { .. } = options.rows {
        let [batch, rows, _] = graph.dims(op, x)?;
        let (compact, sources) = options.rows.extent(graph, op, batch, rows)?;
        if sources != 1 {
            let reason = format!("a map of {sources} sources per row; rows are combined where they are normalised");
            return Err(Error::shape(op, reason));
        }
        shape[1] = compact;
    }
    if let Some(last) = shape.last_mut() {
        *last = columns;
    }
    let out = graph.transient(name, &shape);
    let beyond_f16 = graph.is_beyond_f16();
    graph.push_audited(Product { x, out, options, format, tiling, beyond_f16 });
    Ok(out)
}

impl Product {
    /// The way that a device takes: the one that was measured to be fastest there, else the usual one.
    fn way(&self, shape: ProductShape, caps: &Caps) -> Way {
        let chosen = caps.choices.get(SHADER.name, &self.case(shape, caps)).filter(|_| self.tiling.is_none());
        let known = |name| self.other_ways(shape, caps).into_iter().find(|way| way.name() == name);
        chosen.and_then(known).unwrap_or_else(|| self.usual_way(shape, caps))
    }

    fn shape(&self, graph: &Graph) -> ProductShape {
        let (columns, k) = graph.get(self.options.weight).matrix();
        ProductShape { rows: graph.get(self.out).matrix().0, columns, k }
    }

    /// What decides which way is fastest.
    fn case(&self, ProductShape { rows, columns, k }: ProductShape, caps: &Caps) -> String {
        let in_f16 = if self.multiplies_in_f16(caps) { " in f16" } else { "" };
        format!("{rows}x{columns}x{k} {}{in_f16}", self.format)
    }

    /// Ways that a device could take as well, those first that are believed to be fast on a GPU.
    fn other_ways(&self, shape: ProductShape, caps: &Caps) -> Vec<Way> {
        if shape.rows <= 4 {
            return Vec::new();
        }
        let software = match caps.class {
            AdapterClass::Hardware => Vec::new(),
            AdapterClass::Software => [Some(Way::direct()), caps.broadcast_lanes().map(Way::broadcast)].into(),
        };
        let in_f16 = match self.multiplies_in_f16(caps) {
            true => {
                let in_units = caps.matrix_units.into_iter().flat_map(|units| ways_on_units(units, shape, caps));
                in_units.chain(tilings_in_halves(shape, caps).into_iter().map(Way::halves)).collect()
            }
            false => Vec::new(),
        };
        let tiled = tilings(shape, caps).into_iter().map(Way::tiled);
        software.into_iter().flatten().chain(in_f16).chain(tiled).collect()
    }

    fn multiplies_in_f16(&self, caps: &Caps) -> bool {
        caps.multiplies_in_f16(self.format) && !self.beyond_f16
    }

    /// The way that a device takes where nothing was measured. Matrix units are not among them, but for a test's tiling: no GPU
    /// has shown yet that its driver compiles them rightly, which a measurement asks first.
    fn usual_way(&self, shape: ProductShape, caps: &Caps) -> Way {
        match (caps.class, caps.broadcast_lanes()) {
            _ if shape.rows <= 4 => Way::plain("few", 4, 16),
            (AdapterClass::Software, None) => Way::direct(),
            (AdapterClass::Software, Some(lanes)) => Way::broadcast(lanes),
            (AdapterClass::Hardware, _) if self.multiplies_in_f16(caps) => match (caps.matrix_units, self.tiling) {
                (Some(units), Some(tiling)) => Way::units(units, tiling),
                (None, Some(tiling)) => Way::halves(tiling),
                (_, None) => {
                    let first = tilings_in_halves(shape, caps).first().copied();
                    Way::halves(first.unwrap_or(Tiling { tile: PRODUCT_TILES[2].in_halves(), slices: 1 }))
                }
            },
            (AdapterClass::Hardware, _) => Way::tiled(self.tiling.unwrap_or_else(|| tiling(shape, caps))),
        }
    }

    /// The map's index and weight, if there is one.
    fn map(&self) -> (Option<ValueId>, Option<ValueId>) {
        match self.options.rows {
            ReadRows::All => (None, None),
            ReadRows::Map { index, weight } => (Some(index), weight),
        }
    }

    /// Rows of y and of x per sample, where there is a map.
    fn rows_per_sample(&self, graph: &Graph) -> (usize, usize) {
        match self.options.rows {
            ReadRows::All => (0, 0),
            ReadRows::Map { .. } => (graph.shape(self.out)[1], graph.shape(self.x)[1]),
        }
    }
}

impl Op for Product {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let (index, row_weight) = self.map();
        let Linear { weight, bias, .. } = self.options;
        vec![
            Pass::new().read(self.x).read(weight).read(bias).read(index).read(row_weight).write(self.out),
            Pass::new().read(self.x).read(weight).read(None).read(index).read(None).workspace(Access::Write),
            Pass::new().workspace(Access::Read).read(bias).read(row_weight).write(self.out),
        ]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let shape = self.shape(graph);
        let ProductShape { rows, columns, k } = shape;
        let width = graph.get(self.out).matrix().1;
        let row_words = self.format.row_words(k);
        let (index, row_weight) = self.map();
        let (compact, source) = self.rows_per_sample(graph);
        let way = self.way(shape, caps);
        let slices = way.tiling.map_or(1, |tiling| tiling.slices);
        let workspace = way.tiling.map_or(0, |tiling| tiling.workspace(shape));
        let sliced = slices > 1;
        let dispatch = |(part, range): (usize, std::ops::Range<usize>)| {
            let params = Params {
                base: 0,
                rows: rows as u32,
                columns: range.len() as u32,
                k: k as u32,
                row_words: row_words as u32,
                first: range.start as u32,
                width: width as u32,
                compact: compact as u32,
                source: source as u32,
                slices: slices as u32,
                slice_k: way.tiling.map_or(k, |tiling| tiling.slice_k(k)) as u32,
            };
            let tiles = rows.div_ceil(way.rows) as u64 * range.len().div_ceil(way.columns) as u64;
            Dispatch::new(way.shader, params.bytes(), caps.grid(tiles * slices as u64))
                .divisible()
                .entry(way.entry)
                .constant("FORMAT", format_id(self.format))
                .constant("VEC4", k % 4 == 0)
                .constant("BIAS", self.options.bias.is_some() && !sliced)
                .constant("ACTIVATION", if sliced { 0 } else { self.options.activation.id() })
                .constant("MAPPED", index.is_some())
                .constant("WEIGHTED", row_weight.is_some() && !sliced)
                .constant("WIDE_LOADS", caps.class == AdapterClass::Hardware)
                .constants(way.constants(k))
                .part(part)
                .pass(if sliced { SLICES } else { WHOLE })
                .workspace(workspace)
        };
        let mut all: Vec<_> =
            caps.split_rows(columns, 4 * row_words as u64)?.into_iter().enumerate().map(dispatch).collect();
        if sliced {
            let follows = (self.options.bias.is_some(), row_weight.is_some());
            let sum = sum_slices([slices, rows, width], follows, self.options.activation, caps);
            all.push(sum.pass(SUM).workspace(workspace));
        }
        Ok(all)
    }

    fn candidates(&self, graph: &Graph, caps: &Caps) -> Option<Candidates> {
        let shape = self.shape(graph);
        let usual = self.usual_way(shape, caps).name();
        let (in_f16, others): (Vec<Way>, Vec<Way>) = self.other_ways(shape, caps).into_iter().partition(Way::is_in_f16);
        // Not all in f16: on some GPUs f32 is the faster one.
        let others = in_f16.into_iter().take(2 * MOST_VARIANTS / 3).chain(others).map(|way| way.name());
        let others = others.filter(|name| *name != usual);
        let variants: Vec<String> = [usual.clone()].into_iter().chain(others).take(MOST_VARIANTS).collect();
        (variants.len() > 1).then(|| Candidates { kernel: SHADER.name, case: self.case(shape, caps), variants })
    }

    fn indices(&self, graph: &Graph) -> Vec<Indices> {
        self.options.rows.indices(self.rows_per_sample(graph).1)
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let (rows, _) = graph.get(self.out).matrix();
        let (_, k) = graph.get(self.options.weight).matrix();
        let (compact, source) = self.rows_per_sample(graph);
        let (index, row_weight) = self.map();
        let right = Weight::load(graph, host, self.options.weight)?;
        let (x, bias) = (host.numbers(self.x)?, host.optional(self.options.bias)?);
        let (index, scale) = (host.optional_words(index)?, host.optional(row_weight)?);
        // `[…, K]`, or row `index[row]` of the sample.
        let left = |row: usize| {
            let from = index.as_ref().map_or(row, |index| row / compact * source + index[row] as usize);
            &x[from * k..][..k]
        };
        let (scale, column_bias) = (scale.as_deref(), bias.as_deref());
        let finish = Finish { scale, column_bias, activation: self.options.activation, ..Finish::default() };
        product(host.pool(), rows, left, &right, finish, &mut host.numbers_mut(self.out)?);
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (rows, columns) = graph.get(self.out).matrix();
        let (_, k) = graph.get(self.options.weight).matrix();
        let (compact, source) = self.rows_per_sample(graph);
        let (index, row_weight) = self.map();
        let (x, weight) = (host.f32(self.x), host.f32(self.options.weight));
        let mut out = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let from = index.map_or(row, |index| row / compact * source + host.u32(index)[row] as usize);
            let scale = row_weight.map_or(1.0, |weight| f64::from(host.f32(weight)[row]));
            let x = &x[from * k..][..k];
            for (column, weight) in weight.chunks_exact(k).enumerate() {
                let dot: f64 = x.iter().zip(weight).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                let bias = self.options.bias.map_or(0.0, |bias| f64::from(host.f32(bias)[column]));
                out.push(self.options.activation.apply((scale * dot + bias) as f32));
            }
        }
        host.write(graph, self.out, out);
    }

    fn flops(&self, graph: &Graph) -> u64 {
        let (_, k) = graph.get(self.options.weight).matrix();
        elements(&[2, graph.get(self.out).len(), k])
    }
}

/// Ways on matrix units, the one that is believed to be fastest first: for subgroups of as many lanes as the device has.
/// Where nobody says, both are worth a measurement: Apple's have 32, and Mesa compiles these kernels for 64 lanes on RDNA3.
fn ways_on_units(units: MatrixUnits, shape: ProductShape, caps: &Caps) -> Vec<Way> {
    let lanes: &[usize] = match (caps.subgroup_lanes, units) {
        (Some(64), _) => &[64],
        (Some(_), _) => &[32],
        (None, MatrixUnits::Eight) => &[32, 64],
        (None, MatrixUnits::Sixteen) => &[64, 32],
    };
    let cuts = lanes.iter().flat_map(|&lanes| tilings_in_units(shape, caps, lanes).into_iter().take(2));
    cuts.map(|tiling| Way::units(units, tiling)).collect()
}

/// A format's number in the shader.
fn format_id(format: Format) -> u8 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::BF16 => 2,
        Format::Int8 => 3,
        Format::Int4 => 4,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_on_units;
