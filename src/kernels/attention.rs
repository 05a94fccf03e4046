//! Attention of every head at once, over columns of packed projections, with no matrix of scores in memory.

use std::fmt;

use super::host::attention::{QUERIES, Queries};
use super::host::panels::Panels;
use super::tiles::has_few_registers;
use super::{attention_broadcast, attention_wide, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Candidates, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::size::elements;
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("attention", "heads", "attend", "outer");

params! {
    /// Uniform of `attention.wgsl`.
    struct Params {
        base: u32,
        queries: u32,
        keys: u32,
        heads: u32,
        head_dim: u32,
        samples: u32,
        kv_samples: u32,
        slices: u32,
        q_width: u32,
        q_offset: u32,
        k_width: u32,
        k_offset: u32,
        v_width: u32,
        v_offset: u32,
        scale: f32,
    }
}

/// The columns `offset … offset + H·D` of a value: q, k and v may lie side by side in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// `[B, N, width]`.
    pub value: ValueId,
    /// The first column.
    pub offset: usize,
}

impl Columns {
    /// Fails where the value has not so many columns behind the first.
    pub(super) fn check(self, graph: &Graph, op: &str, columns: usize) -> Result<()> {
        let (value, start, end) = (graph.get(self.value), self.offset, self.offset.saturating_add(columns));
        match value.shape.last() {
            Some(&width) if end <= width => Ok(()),
            _ => Err(Error::shape(op, format!("{} {:?} has no columns {start}..{end}", value.name, value.shape))),
        }
    }
}

/// How [`attention`] scores keys.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// H.
    pub heads: usize,
    /// D: columns of each head.
    pub head_dim: usize,
    /// Multiplies q · k.
    pub scale: f32,
    /// `[B, Nk]`, added to the scores of a key: 0, or very low (−10000, −∞) where it is masked.
    pub key_bias: Option<ValueId>,
    /// `[H, Nq, Nk]`, added to the scores.
    pub position_bias: Option<ValueId>,
}

#[derive(Debug)]
struct Heads {
    q: Columns,
    k: Columns,
    v: Columns,
    out: ValueId,
    options: Attention,
}

/// softmax(scale · q · kᵀ + biases) · v for each head: `[B, Nq, H·D]`. k and v may have one sample for all.
pub fn attention(graph: &mut Graph, q: Columns, k: Columns, v: Columns, options: Attention) -> Result<ValueId> {
    let op = SHADER.name;
    let Attention { heads, head_dim, .. } = options;
    let [batch, queries, _] = graph.dims(op, q.value)?;
    let [kv_batch, keys, _] = graph.dims(op, k.value)?;
    let [v_batch, v_keys, _] = graph.dims(op, v.value)?;
    if (v_batch, v_keys) != (kv_batch, keys)
        || (kv_batch != 1 && kv_batch != batch)
        || [batch, queries, keys].contains(&0)
    {
        let shapes = [q, k, v].map(|columns| graph.shape(columns.value));
        return Err(Error::shape(op, format!("q, k and v have shapes {shapes:?}")));
    }
    if heads == 0 || !(1..=MAX_HEAD_DIM).contains(&head_dim) {
        return Err(Error::shape(op, format!("{heads} heads of {head_dim}; a head has 1 to {MAX_HEAD_DIM} columns")));
    }
    let columns = heads.saturating_mul(head_dim);
    for columns_of in [q, k, v] {
        columns_of.check(graph, op, columns)?;
    }
    if let Some(bias) = options.key_bias {
        graph.expect(op, bias, &[batch, keys])?;
    }
    if let Some(bias) = options.position_bias {
        graph.expect(op, bias, &[heads, queries, keys])?;
    }
    let out = graph.transient("attention", &[batch, queries, columns]);
    graph.push_audited(Heads { q, k, v, out, options });
    Ok(out)
}

/// One head of an autoencoder's middle block is this wide.
const MAX_HEAD_DIM: usize = 512;

/// How many there are of what.
#[derive(Clone, Copy, Debug)]
struct Shape {
    samples: usize,
    heads: usize,
    head_dim: usize,
    queries: usize,
    keys: usize,
}

/// What decides which way is the fastest.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, heads, head_dim, queries, keys } = self;
        write!(f, "{queries} to {keys}, {samples}x{heads} heads of {head_dim}")
    }
}

impl Shape {
    /// Workgroups that share out the columns of a head in `staged`.
    fn slices(self) -> usize {
        self.head_dim.div_ceil(staged_columns(self.head_dim))
    }

    fn workgroups(self, way: Way) -> usize {
        let tiles = |size: usize| self.samples * self.heads * self.queries.div_ceil(size);
        match way {
            Way::Direct => tiles(16).div_ceil(8),
            // The lanes of a workgroup share a head.
            Way::Broadcast { lanes } => tiles(16 * lanes as usize),
            Way::Staged => self.slices() * tiles(32),
            Way::Wide => self.slices() * tiles(64),
        }
    }
}

/// Columns of a head whose output a workgroup of `staged` holds in registers; wider heads are shared out.
fn staged_columns(head_dim: usize) -> usize {
    head_dim.next_multiple_of(32).min(128)
}

/// A kernel of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Broadcast {
        lanes: u32,
    },
    /// Tiles of 32 queries in workgroup memory.
    Staged,
    /// Tiles of 64 queries.
    Wide,
}

/// Threads of a workgroup of `wide`.
const WIDE_THREADS: usize = 64;

impl Way {
    fn shader(self) -> &'static Shader {
        match self {
            Self::Broadcast { .. } => &attention_broadcast::SHADER,
            Self::Wide => &attention_wide::SHADER,
            Self::Direct | Self::Staged => &SHADER,
        }
    }

    fn entry(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Broadcast { .. } => "broadcast",
            Self::Staged => "staged",
            Self::Wide => "wide",
        }
    }

    /// Rounds of all of a thread's loops, or a few more.
    fn rounds(self, keys: usize, head_dim: usize) -> usize {
        match self {
            Self::Direct | Self::Broadcast { .. } => {
                keys.div_ceil(16) * (3 + head_dim.div_ceil(8) + head_dim.div_ceil(4)) + head_dim
            }
            Self::Staged => keys.div_ceil(32) * (12 + 85 * head_dim.div_ceil(32)),
            Self::Wide => keys.div_ceil(32) * (65 + 13 * head_dim.div_ceil(16)) + 16,
        }
    }
}

impl Heads {
    /// Row length and first column of q, k and v.
    fn layout(&self, graph: &Graph) -> [[usize; 2]; 3] {
        [self.q, self.k, self.v].map(|of| [graph.shape(of.value)[2], of.offset])
    }

    fn is_vec4(&self, graph: &Graph) -> bool {
        self.layout(graph).iter().flatten().chain([&self.options.head_dim]).all(|n| n % 4 == 0)
    }

    fn shape(&self, graph: &Graph) -> Result<Shape> {
        let Attention { heads, head_dim, .. } = self.options;
        let [samples, queries, _] = graph.dims(SHADER.name, self.out)?;
        let [_, keys, _] = graph.dims(SHADER.name, self.k.value)?;
        Ok(Shape { samples, heads, head_dim, queries, keys })
    }

    /// The way that a device takes: the one that was measured to be fastest there, else the first.
    fn way(&self, graph: &Graph, caps: &Caps) -> Result<Way> {
        let ways = self.ways(graph, caps)?;
        let chosen = caps.choices.get(SHADER.name, &self.shape(graph)?.to_string());
        let known = chosen.and_then(|name| ways.iter().find(|way| way.entry() == name));
        Ok(known.copied().unwrap_or(ways[0]))
    }

    /// The ways that a device could take, the one first that is believed to be the fastest.
    fn ways(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Way>> {
        let shape = self.shape(graph)?;
        // Elsewhere the unrolled loads of `direct` would take a software adapter longer to compile than to run.
        let direct = self.is_vec4(graph) && self.options.position_bias.is_none();
        if caps.class == AdapterClass::Software {
            let lanes = caps.broadcast_lanes().filter(|&lanes| lanes_have_work(shape.queries, lanes as usize));
            return Ok(match (direct, lanes) {
                (false, _) => vec![Way::Staged],
                (true, None) => vec![Way::Direct],
                (true, Some(lanes)) => vec![Way::Broadcast { lanes }, Way::Direct],
            });
        }
        // Large tiles need less of workgroup memory's time. They leave fewer workgroups for the GPU's units.
        let fills = shape.workgroups(Way::Wide) * WIDE_THREADS >= caps.busy_threads as usize;
        Ok(match (has_few_registers(caps), shape.queries > 32 && fills) {
            (true, _) => vec![Way::Staged],
            (false, true) => vec![Way::Wide, Way::Staged],
            (false, false) => vec![Way::Staged, Way::Wide],
        })
    }
}

impl Op for Heads {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Attention { key_bias, position_bias, .. } = self.options;
        let columns = [self.q, self.k, self.v].map(|columns| columns.value);
        vec![Pass::new().read_all(columns).read(key_bias).read(position_bias).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let Attention { heads, head_dim, scale, key_bias, position_bias } = self.options;
        let [samples, queries, _] = graph.dims(SHADER.name, self.out)?;
        let [kv_samples, keys, _] = graph.dims(SHADER.name, self.k.value)?;
        let layout = self.layout(graph);
        let way = self.way(graph, caps)?;
        let shape = self.shape(graph)?;
        let (lanes, columns, slices) = match way {
            Way::Direct => (None, None, 1),
            Way::Broadcast { lanes } => (Some(lanes), None, 1),
            Way::Staged | Way::Wide => (None, Some(staged_columns(head_dim)), shape.slices()),
        };
        let rounds = way.rounds(keys, head_dim);
        if rounds as u64 > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("attention to {keys} keys of {head_dim} numbers"),
                limit: "rounds of this adapter's loops",
                needed: rounds as u64,
                available: caps.max_rounds,
            });
        }
        let params = Params {
            base: 0,
            queries: queries as u32,
            keys: keys as u32,
            heads: heads as u32,
            head_dim: head_dim as u32,
            samples: samples as u32,
            kv_samples: kv_samples as u32,
            slices: slices as u32,
            q_width: layout[0][0] as u32,
            q_offset: layout[0][1] as u32,
            k_width: layout[1][0] as u32,
            k_offset: layout[1][1] as u32,
            v_width: layout[2][0] as u32,
            v_offset: layout[2][1] as u32,
            scale,
        };
        let dispatch = Dispatch::new(way.shader(), params.bytes(), caps.grid(shape.workgroups(way) as u64))
            .divisible()
            .entry(way.entry())
            .constants(lanes.map(|lanes| ("LANES", lanes)))
            .constant("VEC4", self.is_vec4(graph))
            .constant("KEY_BIAS", key_bias.is_some())
            .constant("POSITION_BIAS", position_bias.is_some())
            .constants(columns.map(|columns| ("COLUMNS", columns as f64)));
        Ok(vec![dispatch])
    }

    fn candidates(&self, graph: &Graph, caps: &Caps) -> Option<Candidates> {
        let variants: Vec<String> = self.ways(graph, caps).ok()?.into_iter().map(|way| way.entry().into()).collect();
        let case = self.shape(graph).ok()?.to_string();
        (variants.len() > 1).then_some(Candidates { kernel: SHADER.name, case, variants })
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let Attention { heads, head_dim, scale, key_bias, position_bias } = self.options;
        let [samples, queries, columns] = graph.dims(SHADER.name, self.out)?;
        let [kv_samples, keys, _] = graph.dims(SHADER.name, self.k.value)?;
        let (q, k, v) = (host.numbers(self.q.value)?, host.numbers(self.k.value)?, host.numbers(self.v.value)?);
        let (key_bias, position_bias) = (host.optional(key_bias)?, host.optional(position_bias)?);
        let [q_width, k_width, v_width] = [self.q, self.k, self.v].map(|of| graph.get(of.value).matrix().1);
        // Keys and values of each sample and head, in the order in which tiles read them.
        let panels = host.pool().map(kv_samples * heads, |place| {
            let (first, column) = (place / heads * keys, place % heads * head_dim);
            let key = |key: usize| &k[(first + key) * k_width + self.k.offset + column..][..head_dim];
            let value = |key: usize| &v[(first + key) * v_width + self.v.offset + column..][..head_dim];
            (Panels::of_columns(head_dim, keys, key), Panels::of_rows(keys, head_dim, value))
        });
        let mut out = host.numbers_mut(self.out)?;
        // A thread takes some queries of one sample, all heads.
        let of_sample = out.chunks_mut(queries * columns).map(|sample| sample.chunks_mut(QUERIES * columns));
        let mut blocks: Vec<_> =
            of_sample.enumerate().flat_map(|(s, blocks)| blocks.enumerate().map(move |b| (s, b))).collect();
        debug_assert_eq!(blocks.len(), samples * queries.div_ceil(QUERIES));
        host.pool().chunks(&mut blocks, 1, |_, block| {
            for (sample, (index, out)) in block {
                let first = *index * QUERIES;
                for head in 0..heads {
                    let (keys_of, values_of) = &panels[*sample % kv_samples * heads + head];
                    let q_first = (*sample * queries + first) * q_width + self.q.offset + head * head_dim;
                    pulp::Arch::new().dispatch(Queries {
                        q: &q[q_first..],
                        q_width,
                        count: out.len() / columns,
                        keys,
                        head_dim,
                        panels: (keys_of, values_of),
                        scale,
                        key_bias: key_bias.as_ref().map(|bias| &bias[*sample * keys..][..keys]),
                        position_bias: position_bias.as_ref().map(|bias| &bias[(head * queries + first) * keys..]),
                        out: &mut out[head * head_dim..],
                        columns,
                    });
                }
            }
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Attention { heads, head_dim, scale, .. } = self.options;
        let (q_shape, k_shape) = (graph.shape(self.q.value), graph.shape(self.k.value));
        let (samples, queries, kv_samples, keys) = (q_shape[0], q_shape[1], k_shape[0], k_shape[1]);
        let head_of = |columns: Columns, row: usize, head: usize| {
            let (_, width) = graph.get(columns.value).matrix();
            &host.f32(columns.value)[row * width + columns.offset + head * head_dim..][..head_dim]
        };
        let mut out = Vec::with_capacity(samples * queries * heads * head_dim);
        for (sample, query, head) in triples(samples, queries, heads) {
            let kv_row = sample % kv_samples * keys;
            let q = head_of(self.q, sample * queries + query, head);
            let score = |key: usize| {
                let k = head_of(self.k, kv_row + key, head);
                let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                let bias = |id: Option<ValueId>, at: usize| id.map_or(0.0, |id| f64::from(host.f32(id)[at]));
                let key_bias = bias(self.options.key_bias, sample * keys + key);
                let position_bias = bias(self.options.position_bias, (head * queries + query) * keys + key);
                (dot * f64::from(scale) + key_bias + position_bias).max(f64::from(f32::MIN))
            };
            let scores: Vec<f64> = (0..keys).map(score).collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut sums = vec![0.0; head_dim];
            for (key, weight) in weights.iter().enumerate() {
                for (sum, &v) in sums.iter_mut().zip(head_of(self.v, kv_row + key, head)) {
                    *sum += weight / total * f64::from(v);
                }
            }
            out.extend(sums.iter().map(|&sum| sum as f32));
        }
        host.write(graph, self.out, out);
    }

    fn flops(&self, graph: &Graph) -> u64 {
        let keys = graph.shape(self.k.value)[1];
        elements(&[4, graph.get(self.out).len(), keys])
    }
}

/// Whether lanes of 16 queries each, which share a head, are worth it: handing keys and values round is faster, but a head's
/// last workgroup may have lanes without queries.
fn lanes_have_work(queries: usize, lanes: usize) -> bool {
    let tiles = queries.div_ceil(16);
    5 * tiles >= 4 * tiles.next_multiple_of(lanes)
}

/// All (a, b, c) below the given ends, the last fastest.
fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / c / b, i / c % b, i % c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, gpu, posing_as};

    /// Weighted means of up to a few hundred values; exp in f32 is good to a few units of 1e-7.
    const TOLERANCE: f64 = 1e-5;

    /// The ways of a software adapter with subgroups and without, and of a GPU in small tiles.
    fn every_way(case: &Case) {
        case.agrees_on(posing_as(AdapterClass::Software), TOLERANCE);
        let caps = Caps { class: AdapterClass::Software, subgroup_lanes: None, ..gpu().caps().clone() };
        case.agrees_on(gpu().with_caps(caps), TOLERANCE);
        case.agrees_on(gpu().with_caps(hardware(u32::MAX)), TOLERANCE);
    }

    /// A GPU that so many threads fill.
    fn hardware(busy_threads: u32) -> Caps {
        Caps { class: AdapterClass::Hardware, busy_threads, ..gpu().caps().clone() }
    }

    fn plain(heads: usize, head_dim: usize) -> Attention {
        let scale = 1.0 / (head_dim as f32).sqrt();
        Attention { heads, head_dim, scale, key_bias: None, position_bias: None }
    }

    fn whole(case: &mut Case, name: &str, shape: [usize; 3]) -> Columns {
        Columns { value: case.input(name, &shape), offset: 0 }
    }

    #[test]
    fn agrees_over_odd_sizes() {
        let mut case = Case::new();
        let sizes = [
            (1, 1, 1, 1, 1),
            (1, 1, 2, 1, 64),
            (2, 1, 1, 33, 4),
            (1, 2, 33, 1, 3),
            (2, 3, 31, 40, 16),
            (1, 2, 70, 65, 72),
            (2, 2, 16, 120, 37),
            (1, 1, 40, 35, 100),
            (1, 2, 9, 33, 130),
            (1, 1, 34, 34, 512),
            // Enough queries for lanes that share a head; the last ones are not there.
            (2, 1, 125, 37, 20),
            (1, 2, 250, 18, 8),
        ];
        for (i, (batch, heads, queries, keys, dim)) in sizes.into_iter().enumerate() {
            let q = whole(&mut case, &format!("q{i}"), [batch, queries, heads * dim]);
            let k = whole(&mut case, &format!("k{i}"), [batch, keys, heads * dim]);
            let v = whole(&mut case, &format!("v{i}"), [batch, keys, heads * dim]);
            let out = attention(&mut case.graph, q, k, v, plain(heads, dim)).unwrap();
            assert_eq!(case.graph.shape(out), [batch, queries, heads * dim]);
        }
        every_way(&case);
    }

    #[test]
    fn large_tiles_are_for_gpus_that_they_fill() {
        let tile = |queries: usize, caps: &Caps| {
            let mut graph = Graph::new();
            let [q, k] = [("q", queries), ("k", 256)]
                .map(|(name, rows)| Columns { value: graph.transient(name, &[2, rows, 16 * 72]), offset: 0 });
            attention(&mut graph, q, k, k, plain(16, 72)).unwrap();
            let op = &graph.nodes()[0].op;
            let candidates = op.candidates(&graph, caps).map(|candidates| candidates.variants);
            let dispatch = op.record(&graph, caps).unwrap().remove(0);
            (dispatch.entry, dispatch.workgroups[0], candidates)
        };
        // 256 queries of 2 × 16 heads are 128 tiles of 64, with as many threads each.
        let both = |first: &str, second: &str| Some(vec![first.to_owned(), second.to_owned()]);
        assert_eq!(tile(256, &hardware(8192)), ("wide", 128, both("wide", "staged")));
        assert_eq!(tile(256, &hardware(8193)), ("staged", 256, both("staged", "wide")));
        assert_eq!(tile(32, &hardware(1)), ("staged", 32, both("staged", "wide")));
        assert_eq!(tile(256, &Caps { name: "Adreno (TM) 740".into(), ..hardware(1) }), ("staged", 256, None));

        // What was measured counts.
        let mut caps = hardware(8192);
        let mut choices = crate::graph::Choices::default();
        choices.insert("attention", "256 to 256, 2x16 heads of 72", "staged");
        caps.choices = choices.into();
        assert_eq!(tile(256, &caps).0, "staged");
    }

    /// Fewer sizes, since a software adapter takes long to compile so many registers.
    #[test]
    fn large_tiles_agree() {
        for (samples, heads, queries, keys, dim, biased) in [
            (2, 1, 70, 40, 16, true),
            (1, 2, 33, 65, 37, false),
            (1, 1, 130, 35, 100, false),
            (1, 1, 66, 33, 150, true),
        ] {
            let mut case = Case::new();
            let q = whole(&mut case, "q", [samples, queries, heads * dim]);
            let [k, v] = ["k", "v"].map(|name| whole(&mut case, name, [1, keys, heads * dim]));
            let key_bias = biased.then(|| case.input("key_bias", &[samples, keys]));
            let position_bias = biased.then(|| case.input("position_bias", &[heads, queries, keys]));
            let options = Attention { key_bias, position_bias, ..plain(heads, dim) };
            attention(&mut case.graph, q, k, v, options).unwrap();
            let caps = hardware(1);
            assert_eq!(case.graph.nodes()[0].op.record(&case.graph, &caps).unwrap()[0].entry, "wide");
            case.agrees_on(gpu().with_caps(caps), TOLERANCE);
        }
    }

    /// Mesa's software adapter, were it asked for more rounds than it has, would be wrong without a word.
    #[test]
    fn agrees_to_the_last_key_that_an_adapter_allows() {
        let caps = Caps { class: AdapterClass::Software, max_rounds: 65_535, ..gpu().caps().clone() };
        for (keys, fits) in [(34_800, true), (34_960, false)] {
            let mut case = Case::new();
            let q = whole(&mut case, "q", [1, 1, 72]);
            let [k, v] = ["k", "v"].map(|name| whole(&mut case, name, [1, keys, 72]));
            attention(&mut case.graph, q, k, v, plain(1, 72)).unwrap();
            match case.graph.nodes()[0].op.record(&case.graph, &caps) {
                Ok(_) => case.agrees_on(gpu().with_caps(caps.clone()), TOLERANCE),
                Err(error) => assert!(error.to_string().contains("attention to 34960 keys of 72 numbers"), "{error}"),
            }
            assert_eq!(case.graph.nodes()[0].op.record(&case.graph, &caps).is_ok(), fits);
        }
    }

    #[test]
    fn agrees_over_columns_of_one_value() {
        let mut case = Case::new();
        for dim in [8, 9] {
            let value = case.input(&format!("qkv{dim}"), &[2, 37, 3 * 2 * dim]);
            let [q, k, v] = [0, 1, 2].map(|i| Columns { value, offset: i * 2 * dim });
            attention(&mut case.graph, q, k, v, plain(2, dim)).unwrap();
        }
        every_way(&case);
    }

    #[test]
    fn agrees_with_one_text_for_all_samples() {
        let mut case = Case::new();
        let q = whole(&mut case, "q", [3, 20, 32]);
        let value = case.input("kv", &[1, 45, 64]);
        let (k, v) = (Columns { value, offset: 0 }, Columns { value, offset: 32 });
        let mask: Vec<f32> = (0..3 * 45).map(|i| if i % 45 < 7 + i / 45 { 0.0 } else { -10000.0 }).collect();
        let key_bias = Some(case.input_of("mask", &[3, 45], mask));
        attention(&mut case.graph, q, k, v, Attention { key_bias, ..plain(2, 16) }).unwrap();
        every_way(&case);
    }

    #[test]
    fn agrees_with_position_bias() {
        let mut case = Case::new();
        let q = whole(&mut case, "q", [2, 35, 64]);
        let k = whole(&mut case, "k", [2, 35, 64]);
        let v = whole(&mut case, "v", [2, 35, 64]);
        let position_bias = Some(case.input("positions", &[4, 35, 35]));
        let key_bias = Some(case.input("keys", &[2, 35]));
        let options = Attention { scale: 1.0, position_bias, key_bias, ..plain(4, 16) };
        attention(&mut case.graph, q, k, v, options).unwrap();
        every_way(&case);
    }

    #[test]
    fn masks_of_every_depth_give_what_softmax_gives() {
        for masked in [-10000.0, f32::MIN, f32::NEG_INFINITY] {
            let mut case = Case::new();
            let [q, k, v] = ["q", "k", "v"].map(|name| whole(&mut case, name, [3, 40, 8]));
            // The first sample keeps its last three keys, the second its first, the third none.
            let kept = |sample: usize, key: usize| [key >= 37, key < 1, false][sample];
            let mask = triples(1, 3, 40).map(|(_, sample, key)| if kept(sample, key) { 0.0 } else { masked });
            let mask = mask.collect();
            let key_bias = Some(case.input_of("mask", &[3, 40], mask));
            attention(&mut case.graph, q, k, v, Attention { key_bias, ..plain(1, 8) }).unwrap();
            // Beside −10000 a score keeps three decimals in f32.
            for class in [AdapterClass::Software, AdapterClass::Hardware] {
                case.agrees_on(gpu().with_caps(Caps { class, ..gpu().caps().clone() }), 1e-3);
            }
        }
    }

    #[test]
    fn scores_of_thousands_do_not_overflow() {
        let mut case = Case::new();
        let [q, k, v] = ["q", "k", "v"].map(|name| whole(&mut case, name, [1, 33, 16]));
        attention(&mut case.graph, q, k, v, Attention { scale: 1000.0, ..plain(1, 16) }).unwrap();
        // Scores near 1e4 are rounded to 1e-3, and so are the weights.
        case.agrees(2e-3);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let q = whole(&mut case, "q", [4, 10, 24]);
        let k = whole(&mut case, "k", [4, 12, 24]);
        let two = whole(&mut case, "two", [2, 12, 24]);
        let bias = case.input("bias", &[4, 10]);
        let mut refused = |q, k, v, options, reason: &str| {
            let error = attention(&mut case.graph, q, k, v, options).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(q, two, two, plain(2, 12), "q, k and v have shapes [[4, 10, 24], [2, 12, 24], [2, 12, 24]]");
        refused(q, k, q, plain(2, 12), "q, k and v have shapes");
        refused(q, k, k, plain(2, 13), "q [4, 10, 24] has no columns 0..26");
        refused(q, k, Columns { offset: 1, ..k }, plain(2, 12), "k [4, 12, 24] has no columns 1..25");
        refused(q, k, k, plain(1, 513), "1 heads of 513");
        refused(
            q,
            k,
            k,
            Attention { key_bias: Some(bias), ..plain(2, 12) },
            "bias has shape [4, 10], expected [4, 12]",
        );
        refused(
            q,
            k,
            k,
            Attention { position_bias: Some(bias), ..plain(2, 12) },
            "bias has shape [4, 10], expected [2, 10, 12]",
        );
    }
}
