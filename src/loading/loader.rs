//! Loads a model's tensors: each is asked for by name and shape while the model is built, which finds every missing or
//! misshapen one before a byte moves; then all stream to the GPU in file order, a few rows at a time.

use std::collections::HashSet;
use std::sync::Arc;

use crate::device::{Device, Store};
use crate::graph::{Element, Weight};
use crate::weights::{Checkpoint, Format, SourceType};
use crate::{Error, Result};

/// Host memory that one read may take.
const CHUNK_BYTES: usize = 1 << 20;
/// Staging memory that queued writes may take before the device is waited for.
const FLUSH_BYTES: usize = 16 << 20;

/// Gathers what a model asks for from one component's checkpoint.
#[derive(Debug)]
pub struct Loader {
    /// "transformer", "vae", "text_encoder": the prefix of every key in the [`Store`].
    component: String,
    checkpoint: Arc<Checkpoint>,
    /// How to store matrices; none: as the file has them.
    storage: Option<Format>,
    wanted: Vec<Wanted>,
    /// Tensors that something uses, or that are known to be of no use.
    claimed: HashSet<String>,
}

/// A tensor to be uploaded, stacked by rows from one or more tensors of the file.
#[derive(Debug)]
struct Wanted {
    weight: Weight,
    parts: Vec<String>,
}

/// A table of which a few rows are read when they are needed: word and class embeddings stay in their file.
#[derive(Clone, Debug)]
pub struct Table {
    checkpoint: Arc<Checkpoint>,
    name: String,
    rows: usize,
    width: usize,
}

/// A loader that puts a prefix before each name: `block.within("attn1")`.
#[derive(Debug)]
pub struct Scope<'a> {
    loader: &'a mut Loader,
    prefix: String,
}

/// What someone who is told of progress answers: nothing, or whether to go on. [`Error::Cancelled`] is for those who
/// do not want to.
pub trait Answer {
    /// An error ends the work.
    fn answer(self) -> Result<()>;
}

impl Answer for () {
    fn answer(self) -> Result<()> {
        Ok(())
    }
}

impl Answer for Result<()> {
    fn answer(self) -> Result<()> {
        self
    }
}

/// How a matrix may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    /// At 4 or 8 bits where asked for.
    Any,
    /// At 16 bits at least: convolutions, embeddings and output layers, small in size and large in effect.
    Half,
}

impl Loader {
    /// A loader over `checkpoint`. `storage` none keeps each matrix as the file has it.
    pub fn new(component: &str, checkpoint: Checkpoint, storage: Option<Format>) -> Self {
        let checkpoint = Arc::new(checkpoint);
        Self { component: component.into(), checkpoint, storage, wanted: Vec::new(), claimed: HashSet::new() }
    }

    /// The component whose tensors it loads: "transformer", "vae", "text_encoder".
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The names from the checkpoint's top.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { loader: self, prefix: String::new() }
    }

    /// Tensors whose name satisfies `known` may be there without being used.
    pub fn ignore(&mut self, known: impl Fn(&str) -> bool) {
        let names = self.checkpoint.tensors().map(|(name, _)| name).filter(|name| known(name));
        self.claimed.extend(names.map(str::to_owned));
    }

    /// Fails if the checkpoint holds tensors that nothing asked for: they belong to another architecture.
    pub fn finish(&self) -> Result<()> {
        let mut extra = self.checkpoint.tensors().map(|(name, _)| name).filter(|n| !self.claimed.contains(*n));
        let Some(first) = extra.next() else { return Ok(()) };
        let more = match extra.count() {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        let reason = format!("is in the {} checkpoint, but its config has no use for it{more}", self.component);
        Err(Error::tensor(first, reason))
    }

    /// Bytes that everything asked for takes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.wanted.iter().map(|w| w.weight.bytes()).sum()
    }

    /// Numbers in everything asked for.
    pub fn parameters(&self) -> u64 {
        self.wanted.iter().map(|w| w.weight.shape.iter().product::<usize>() as u64).sum()
    }

    /// Everything asked for, each with the tensors of the checkpoint that it is stacked from.
    pub fn weights(&self) -> impl Iterator<Item = (&Weight, &[String])> {
        self.wanted.iter().map(|wanted| (&wanted.weight, wanted.parts.as_slice()))
    }

    /// The checkpoint it reads.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Makes room in `store` for everything asked for. Called for all components before the first uploads: staging
    /// memory that came and went between the weights would leave holes among them, a third of the model in all.
    pub async fn allocate(&self, gpu: &Device, store: &mut Store) -> Result<()> {
        for Wanted { weight, .. } in &self.wanted {
            store.allocate(gpu, &weight.key, &weight.shape, weight.element).await?;
        }
        Ok(())
    }

    /// Streams everything asked for to its place in `store`. `progress` receives bytes done and in all; its error ends
    /// the upload.
    pub async fn upload<A: Answer>(
        &self,
        gpu: &Device,
        store: &Store,
        mut progress: impl FnMut(u64, u64) -> A,
    ) -> Result<()> {
        let mut order: Vec<&Wanted> = self.wanted.iter().collect();
        order.sort_by_key(|w| self.checkpoint.get(&w.parts[0]).map(|info| (info.file.clone(), info.offset)));
        let (total, mut done, mut queued) = (self.bytes(), 0, 0);
        for Wanted { weight, parts } in order {
            let mut first = 0;
            for part in parts {
                let rows = self.checkpoint.get(part).map_or(0, |info| info.rows());
                let row_bytes = (weight.bytes() as usize / weight.shape[0].max(1)).max(1);
                let step = (CHUNK_BYTES / row_bytes).max(1);
                for start in (0..rows).step_by(step) {
                    let range = start..rows.min(start + step);
                    let bytes = 4 * match weight.element {
                        Element::Packed(format) => {
                            let words = self.checkpoint.read_rows_as(part, range.clone(), format).await?;
                            store.write_rows(gpu, &weight.key, first + start, &words)?;
                            words.len()
                        }
                        Element::F32 | Element::U32 => {
                            let values = self.checkpoint.read_rows_f32(part, range.clone()).await?;
                            let offset = (first + start) * row_bytes;
                            gpu.write(store.buffer(&weight.key)?, offset as u64, bytemuck::cast_slice(&values))?;
                            values.len()
                        }
                    };
                    (done, queued) = (done + bytes as u64, queued + bytes);
                    progress(done.min(total), total).answer()?;
                    if queued >= FLUSH_BYTES {
                        gpu.flush().await?;
                        queued = 0;
                    }
                }
                first += rows;
            }
        }
        gpu.flush().await
    }

    fn format(&self, name: &str, precision: Precision) -> Format {
        let stored = match self.checkpoint.get(name).map(|info| info.dtype) {
            Some(SourceType::F16) => Format::F16,
            Some(SourceType::BF16) => Format::BF16,
            _ => Format::F32,
        };
        match self.storage {
            None => stored,
            Some(Format::Int8 | Format::Int4) if precision == Precision::Half => stored,
            Some(format) => format,
        }
    }
}

impl Scope<'_> {
    /// The names below `part`.
    pub fn within(&mut self, part: &str) -> Scope<'_> {
        let prefix = self.name(part) + ".";
        Scope { loader: self.loader, prefix }
    }

    /// Tensors whose name, counted from the checkpoint's top, satisfies `known` may be there without being used.
    pub fn ignore(&mut self, known: impl Fn(&str) -> bool) {
        self.loader.ignore(known);
    }

    /// Whether the checkpoint has `name`.
    pub fn has(&self, name: &str) -> bool {
        self.loader.checkpoint.get(&self.name(name)).is_some()
    }

    /// A matrix `[rows, …]` that may be stored at any precision.
    pub fn matrix(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        self.packed(&[name], shape, Precision::Any)
    }

    /// Matrices `[rows, k]` of equal width, stacked by rows into one: query, key and value as one product.
    pub fn stacked(&mut self, names: &[String], shape: &[usize]) -> Result<Weight> {
        self.packed(names, shape, Precision::Any)
    }

    /// A matrix or convolution `[rows, …]` kept at 16 bits or more.
    pub fn precise(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        self.packed(&[name], shape, Precision::Half)
    }

    /// A small tensor kept in f32: biases, norms, modulation tables.
    pub fn vector(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        self.want(&[name], shape, Element::F32)
    }

    /// Biases, stacked like the matrices they belong to.
    pub fn stacked_vector(&mut self, names: &[String], shape: &[usize]) -> Result<Weight> {
        self.want(names, shape, Element::F32)
    }

    /// A table of which rows are read on demand.
    pub fn table(&mut self, name: &str, shape: [usize; 2]) -> Result<Table> {
        let name = self.name(name);
        self.loader.checkpoint.require(&name, &shape)?;
        self.loader.claimed.insert(name.clone());
        Ok(Table { checkpoint: self.loader.checkpoint.clone(), name, rows: shape[0], width: shape[1] })
    }

    fn packed(&mut self, names: &[impl AsRef<str>], shape: &[usize], precision: Precision) -> Result<Weight> {
        let format = self.loader.format(&self.name(names[0].as_ref()), precision);
        self.want(names, shape, Element::Packed(format))
    }

    /// `shape` is the whole's; parts share its rows equally.
    fn want(&mut self, names: &[impl AsRef<str>], shape: &[usize], element: Element) -> Result<Weight> {
        let parts: Vec<String> = names.iter().map(|name| self.name(name.as_ref())).collect();
        let mut part_shape = shape.to_vec();
        if let Some(rows) = part_shape.first_mut() {
            *rows /= parts.len();
        }
        for part in &parts {
            self.loader.checkpoint.require(part, &part_shape)?;
            self.loader.claimed.insert(part.clone());
        }
        let key = format!("{}.{}", self.loader.component, parts.join("+"));
        let weight = Weight { key, shape: shape.to_vec(), element };
        self.loader.wanted.push(Wanted { weight: weight.clone(), parts });
        Ok(weight)
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Table {
    /// The rows with these numbers, one after the other: `[ids, width]`.
    pub async fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(ids.len() * self.width);
        for &id in ids {
            let row = id as usize;
            if row >= self.rows {
                return Err(Error::Usage(format!("{} has {} rows, so there is no number {row}", self.name, self.rows)));
            }
            values.extend(self.checkpoint.read_rows_f32(&self.name, row..row + 1).await?);
        }
        Ok(values)
    }

    /// The length of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}
