//! Kernels of shapes, formats, options and row maps that the input draws: on the GPU, and on the processor with one
//! thread and with two, against their references. The tests beside each kernel have the sizes that are known to matter.

use foveate::Area;
use foveate::low_level::graph::{Value, ValueId};
use foveate::low_level::kernels::{self, Activation, Attention, Columns, Conv2d, GroupNorm, Linear, Modulation};
use foveate::low_level::kernels::{Norm, NormKind, PoolKind, Pooling, ReadRows, WriteRows};
use foveate::low_level::weights::Format;
use foveate::testing::Case;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::outcome;

/// Relative L2 of numbers, which are sums of at most some thousand products. Indices have to be the same.
const TOLERANCE: f64 = 1e-5;

/// Reads choices from the input, byte by byte; where it ends, all are the first.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first.into()
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// A size up to `most`: small ones, and those around the widths of tiles.
    fn size(&mut self, most: usize) -> usize {
        let near = [1, 4, 8, 16, 32, 64, 128, 256][self.byte() % 8];
        (near + self.byte() % 5).saturating_sub(2).clamp(1, most)
    }

    fn of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.byte() % N]
    }
}

/// A kernel under test: adds itself to the case.
type Kernel = fn(&mut Draw<'_>, &mut Case) -> foveate::Result<()>;

static KERNELS: &[(&str, Kernel)] = &[
    ("linear", linear),
    ("norm", norm),
    ("attention", attention),
    ("attention_columns", attention_columns),
    ("conv2d", conv2d),
    ("group_norm", group_norm),
    ("residual", residual),
    ("routing", routing),
    ("merging", merging),
    ("best_match", best_match),
    ("pool_tokens", pool_tokens),
    ("patches", patches),
];

pub fn run(data: &[u8]) {
    let mut draw = Draw(data);
    let (name, kernel) = KERNELS[draw.byte() % KERNELS.len()];
    let mut case = Case::new();
    match kernel(&mut draw, &mut case) {
        Ok(()) => {
            outcome::reached(name);
            let _told = Told(&case);
            case.agrees_on_every_class(TOLERANCE);
        }
        Err(error) => outcome::failed(&error),
    }
}

/// Tells the shapes of a case that failed: by them it is reproduced by hand.
struct Told<'a>(&'a Case);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let of = |value: &Value| format!("{} {:?} {:?}", value.name, value.shape, value.element);
            eprintln!("{}", self.0.graph.values().iter().map(of).collect::<Vec<_>>().join(", "));
        }
    }
}

fn linear(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, n, k, out] = [draw.size(2), draw.size(130), draw.size(200), draw.size(130)];
    let format = draw.of(Format::ALL);
    let activation =
        draw.of([Activation::None, Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu]);
    let x = case.input("x", &[batch, n, k]);
    let rows = read_rows(draw, case, batch, n, 1);
    let weight = case.weight("weight", &[out, k], format);
    let bias = draw.flag().then(|| case.input("bias", &[out]));
    kernels::linear(&mut case.graph, x, Linear { weight, bias, activation, rows }).map(drop)
}

fn norm(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, n, channels] = [draw.size(3), draw.size(100), draw.size(260)];
    let x = case.input("x", &[batch, n, channels]);
    let sources = draw.size(4);
    let rows = read_rows(draw, case, batch, n, sources);
    let kind = draw.of([NormKind::Layer, NormKind::Rms]);
    let weight = draw.flag().then(|| case.input("weight", &[channels]));
    let bias = draw.flag().then(|| case.input("bias", &[channels]));
    let modulation = draw.flag().then(|| {
        let table = draw.flag().then(|| case.input("table", &[6, channels]));
        let samples = draw.of([1, batch]);
        Modulation {
            emb: case.input("emb", &[samples, 6 * channels]),
            table,
            shift: draw.of([0, 3]),
            scale: draw.of([1, 4]),
        }
    });
    let options = Norm { kind, eps: draw.of([1e-6, 1e-5, 1e-2]), weight, bias, modulation, rows };
    kernels::norm(&mut case.graph, x, options).map(drop)
}

/// Heads, and how wide each is.
fn heads(draw: &mut Draw<'_>, case: &mut Case, batch: usize, queries: usize, keys: usize) -> Attention {
    let [heads, head_dim] = [draw.size(3), draw.size(80)];
    Attention {
        heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        key_bias: draw.flag().then(|| case.input("key bias", &[batch, keys])),
        position_bias: draw.flag().then(|| case.input("position bias", &[heads, queries, keys])),
    }
}

fn attention(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, queries, keys] = [draw.size(2), draw.size(140), draw.size(140)];
    let options = heads(draw, case, batch, queries, keys);
    let (width, before, after) = (options.heads * options.head_dim, draw.size(4) - 1, draw.size(4) - 1);
    let shared = draw.of([1, batch]);
    let columns = |case: &mut Case, name: &str, batch, rows| {
        let value = case.input(name, &[batch, rows, before + width + after]);
        Columns { value, offset: before }
    };
    let q = columns(case, "q", batch, queries);
    let [k, v] = ["k", "v"].map(|name| columns(case, name, shared, keys));
    kernels::attention(&mut case.graph, q, k, v, options).map(drop)
}

fn attention_columns(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, queries, keys] = [draw.size(2), draw.size(140), draw.size(140)];
    let options = heads(draw, case, batch, queries, keys);
    let width = options.heads * options.head_dim;
    let [q, k] = [("q", queries), ("k", keys)].map(|(name, rows)| {
        let value = case.input(name, &[batch, rows, width]);
        Columns { value, offset: 0 }
    });
    kernels::attention_columns(&mut case.graph, q, k, options).map(drop)
}

fn conv2d(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, channels, height, width] = [draw.size(2), draw.size(20), draw.size(20), draw.size(20)];
    let [out, kernel_height, kernel_width] = [draw.size(34), draw.size(4), draw.size(5)];
    let x = case.input("x", &[batch, channels, height, width]);
    let format = draw.of([Format::F32, Format::F16, Format::BF16]);
    let weight = case.weight("weight", &[out, channels, kernel_height, kernel_width], format);
    let bias = draw.flag().then(|| case.input("bias", &[out]));
    let padding = [0; 4].map(|_| draw.byte() % 4);
    let conv = Conv2d { weight, bias, stride: draw.size(3), padding, upsample: draw.flag() };
    kernels::conv2d(&mut case.graph, x, conv).map(drop)
}

fn group_norm(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, groups, each, height, width] =
        [draw.size(2), draw.size(32), draw.size(8), draw.size(66), draw.size(34)];
    let channels = groups * each;
    let x = case.input("x", &[batch, channels, height, width]);
    let [weight, bias] = ["weight", "bias"].map(|name| case.input(name, &[channels]));
    let silu = draw.flag();
    let like = draw.flag().then(|| case.input("like", &[batch, channels, draw.size(34), draw.size(66)]));
    let options = GroupNorm { weight, bias, groups, eps: 1e-6, silu, like };
    kernels::group_norm(&mut case.graph, x, options).map(drop)
}

fn residual(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, n, channels] = [draw.size(3), draw.size(140), draw.size(200)];
    let x = case.input("x", &[batch, n, channels]);
    let mut rng = seeded(draw);
    let compact = draw.size(n);
    let gate = draw.flag().then(|| {
        let table = draw.flag().then(|| case.input("table", &[6, channels]));
        kernels::Gate { emb: case.input("emb", &[batch, 6 * channels]), table, chunk: draw.byte() % 6 }
    });
    let (rows, written) = match draw.byte() % 3 {
        0 => (WriteRows::All, n),
        1 => (WriteRows::Scaled { weight: case.input("row weight", &[batch, n]) }, n),
        _ => {
            let any = |_| match rng.random_ratio(1, 4) {
                true => kernels::NOTHING,
                false => rng.random_range(0..compact as u32),
            };
            let index = (0..batch * n).map(any).collect();
            let index = case.indices("index", &[batch, n], index);
            let weight = draw.flag().then(|| case.input("row weight", &[batch, n]));
            (WriteRows::Map { index, weight }, compact)
        }
    };
    let branch = case.input("branch", &[batch, written, channels]);
    kernels::residual(&mut case.graph, x, branch, gate, rows)
}

/// A router, the tokens that it keeps, and a sublayer through them.
fn routing(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, n, channels] = [draw.size(3), draw.size(300), draw.size(100)];
    let kept = draw.size(n);
    let x = case.input("x", &[batch, n, channels]);
    let logits = case.input("logits", &[batch, n]);
    let selection = kernels::select(&mut case.graph, logits, kept)?;
    let options = Norm { eps: 1e-6, rows: selection.read(), ..Norm::default() };
    let branch = kernels::norm(&mut case.graph, x, options)?;
    let weight = draw.flag().then(|| case.input("scores", &[batch, n]));
    let rows = WriteRows::Map { index: selection.place, weight };
    kernels::residual(&mut case.graph, x, branch, None, rows)?;
    let weight = case.input("router", &[1, channels]);
    kernels::router(&mut case.graph, x, weight).map(drop)
}

/// Tokens that share rows by any destinations.
fn merging(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, n, channels] = [draw.size(3), draw.size(300), draw.size(100)];
    let (kept, mut rng) = (draw.size(n), seeded(draw));
    let mut destinations = Vec::new();
    for _ in 0..batch {
        let own = rand::seq::index::sample(&mut rng, n, kept).into_vec();
        let mut of: Vec<u32> = (0..n).map(|_| own[rng.random_range(0..kept)] as u32).collect();
        own.iter().for_each(|&token| of[token] = token as u32);
        destinations.extend(of);
    }
    let x = case.input("x", &[batch, n, channels]);
    let destination = case.indices("destination", &[batch, n], destinations);
    let groups = kernels::groups(&mut case.graph, destination, kept)?;
    let merged = kernels::merge(&mut case.graph, x, groups)?;
    let rows = WriteRows::Map { index: groups.place, weight: None };
    kernels::residual(&mut case.graph, x, merged, None, rows)
}

fn best_match(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, of, to, channels] = [draw.size(3), draw.size(260), draw.size(260), draw.size(100)];
    let sources = case.input("sources", &[batch, of, channels]);
    let destinations = case.input("destinations", &[batch, to, channels]);
    // With few channels some tokens point almost the same way, and either may be the best.
    let distinct = channels >= 16;
    distinct.then(|| kernels::best_match(&mut case.graph, sources, destinations)).transpose().map(drop)?;
    affine(case, sources)
}

fn affine(case: &mut Case, x: ValueId) -> foveate::Result<()> {
    kernels::affine(&mut case.graph, x, kernels::Affine { scale: -1.5, shift: 0.25, low: -1.0, high: 2.0 }).map(drop)
}

fn pool_tokens(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [batch, rows, columns, channels, stride] =
        [draw.size(3), draw.size(20), draw.size(20), draw.size(70), draw.size(5)];
    let (before, after) = (draw.size(4) - 1, draw.size(4) - 1);
    let value = case.input("x", &[batch, rows * columns, before + channels + after]);
    let kind = match draw.byte() % 3 {
        0 => PoolKind::Uniform,
        1 => PoolKind::Average,
        _ => PoolKind::Convolution {
            weight: case.weight("weight", &[channels, 1, stride, stride], Format::F32),
            bias: draw.flag().then(|| case.input("bias", &[channels])),
        },
    };
    let x = Columns { value, offset: before };
    kernels::pool_tokens(&mut case.graph, x, channels, [rows, columns], Pooling { stride, kind }).map(drop)
}

/// Latents to patches and back.
fn patches(draw: &mut Draw<'_>, case: &mut Case) -> foveate::Result<()> {
    let [count, channels, rows, columns, patch] =
        [draw.size(2), draw.size(20), draw.size(20), draw.size(20), draw.size(4)];
    let latents = case.input("latents", &[count, channels, rows * patch, columns * patch]);
    let batch = count * draw.of([1, 2]);
    let patches = kernels::patchify(&mut case.graph, latents, patch, batch, None)?;
    let image = kernels::unpatchify(&mut case.graph, patches, patch, [rows, columns])?;
    let mut part = |side: usize| {
        let from = draw.byte() % side;
        from..from + 1 + draw.byte() % (side - from)
    };
    let area = Area { rows: part(rows * patch), columns: part(columns * patch) };
    kernels::crop(&mut case.graph, image, &area, draw.size(4)).map(drop)
}

/// A row map of any rows, some of them twice; or none.
fn read_rows(draw: &mut Draw<'_>, case: &mut Case, batch: usize, n: usize, sources: usize) -> ReadRows {
    if draw.flag() {
        return ReadRows::All;
    }
    let (k, mut rng) = (draw.size(n), seeded(draw));
    let index = (0..batch * k * sources).map(|_| rng.random_range(0..n as u32)).collect();
    let index = case.indices("index", &[batch, k, sources], index);
    let weight = draw.flag().then(|| case.input("row weight", &[batch, k, sources]));
    ReadRows::Map { index, weight }
}

fn seeded(draw: &mut Draw<'_>) -> SmallRng {
    SmallRng::seed_from_u64(draw.byte() as u64)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut seeds = Vec::new();
    for round in 0..20 * KERNELS.len() {
        let mut bytes = vec![0; 40];
        rng.fill_bytes(&mut bytes);
        bytes[0] = (round % KERNELS.len()) as u8;
        seeds.push(bytes);
    }
    seeds
}
