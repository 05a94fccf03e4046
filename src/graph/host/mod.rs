//! What an op's CPU form works with: values in host memory, and the caller's threads.
//!
//! Memory is words behind a lock per buffer, so that an op holds several inputs and one output at once in safe Rust. An
//! op that reads what it also writes takes one write guard. Two guards that exclude each other are an error of the op,
//! never a deadlock: a device runs one program at a time, so no lock is ever waited for.

mod memory;
mod pool;

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, RwLockReadGuard, RwLockWriteGuard};

pub use memory::{Budget, Memory};
pub use pool::Pool;

use super::reference::HostValues;
use super::{Access, Element, Graph, ValueId};
use crate::shared::lock;
use crate::tensor::Data;
use crate::{Error, Result, Tensor};

/// The values of a graph in host memory, and the threads to compute with.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    graph: &'a Graph,
    /// By [`ValueId`]; none for a value that no op touches.
    memory: &'a [Option<Memory>],
    pool: &'a Pool,
    budget: &'a Budget,
}

/// Words of a value, read.
#[derive(Debug)]
pub struct Words<'a> {
    guard: RwLockReadGuard<'a, Vec<u32>>,
    len: usize,
}

/// Numbers of a value, read.
#[derive(Debug)]
pub struct Numbers<'a>(Words<'a>);

/// Words of a value, written.
#[derive(Debug)]
pub struct WordsMut<'a> {
    guard: RwLockWriteGuard<'a, Vec<u32>>,
    len: usize,
}

/// Numbers of a value, written.
#[derive(Debug)]
pub struct NumbersMut<'a>(WordsMut<'a>);

impl<'a> Host<'a> {
    /// What a device hands to an op: where each value of `graph` lies, by its [`ValueId`].
    pub fn new(graph: &'a Graph, memory: &'a [Option<Memory>], pool: &'a Pool, budget: &'a Budget) -> Self {
        Self { graph, memory, pool, budget }
    }

    /// The threads to compute with.
    pub fn pool(&self) -> &'a Pool {
        self.pool
    }

    /// What may be kept beside the weights.
    pub fn budget(&self) -> &'a Budget {
        self.budget
    }

    /// Where a value lies.
    pub fn memory(&self, id: ValueId) -> Result<&'a Memory> {
        let memory = self.memory.get(id.0 as usize).and_then(Option::as_ref);
        memory.ok_or_else(|| self.error(id, "has no memory"))
    }

    /// Indices, or the packed words of a weight.
    pub fn words(&self, id: ValueId) -> Result<Words<'a>> {
        let guard = self.memory(id)?.try_read().ok_or_else(|| self.error(id, "is being written by the op itself"))?;
        let len = self.length(id, guard.len())?;
        Ok(Words { guard, len })
    }

    /// Numbers.
    pub fn numbers(&self, id: ValueId) -> Result<Numbers<'a>> {
        self.words(id).map(Numbers)
    }

    /// Numbers of an input that may be missing.
    pub fn optional(&self, id: Option<ValueId>) -> Result<Option<Numbers<'a>>> {
        id.map(|id| self.numbers(id)).transpose()
    }

    /// Indices of an input that may be missing.
    pub fn optional_words(&self, id: Option<ValueId>) -> Result<Option<Words<'a>>> {
        id.map(|id| self.words(id)).transpose()
    }

    /// Indices to write or update.
    pub fn words_mut(&self, id: ValueId) -> Result<WordsMut<'a>> {
        let guard = self.memory(id)?.try_write().ok_or_else(|| self.error(id, "is being read by the op itself"))?;
        let len = self.length(id, guard.len())?;
        Ok(WordsMut { guard, len })
    }

    /// Numbers to write or update.
    pub fn numbers_mut(&self, id: ValueId) -> Result<NumbersMut<'a>> {
        self.words_mut(id).map(NumbersMut)
    }

    /// Computes an op by its reference: reads what it accesses, runs `reference`, and writes what it wrote.
    pub fn by_reference(
        &self,
        access: &[(ValueId, Access)],
        reference: impl FnOnce(&Graph, &mut HostValues),
    ) -> Result<()> {
        let mut values = HostValues::default();
        for &(id, _) in access.iter().filter(|(_, how)| *how != Access::Write) {
            let value = self.graph.get(id);
            let words = self.words(id)?;
            let data = match value.element {
                Element::U32 => Data::U32(words.to_vec()),
                Element::F32 => Data::F32(bytemuck::cast_slice(&words).to_vec()),
                Element::Packed(format) => Data::F32(format.decode_rows(&words, value.matrix().1)),
            };
            values.insert(id, Tensor { shape: value.shape.clone(), data });
        }
        reference(self.graph, &mut values);
        for &(id, _) in access.iter().filter(|(_, how)| *how != Access::Read) {
            match self.graph.get(id).element {
                Element::U32 => self.copy(id, &mut self.words_mut(id)?, values.u32(id))?,
                _ => self.copy(id, &mut self.numbers_mut(id)?, values.f32(id))?,
            }
        }
        Ok(())
    }

    /// The words of a value, of which its buffer has `available`.
    fn length(&self, id: ValueId, available: usize) -> Result<usize> {
        let len = (self.graph.get(id).bytes() / 4) as usize;
        if len > available {
            return Err(self.error(id, &format!("takes {len} words, its memory has {available}")));
        }
        Ok(len)
    }

    /// Takes over what a reference wrote: all of the value.
    fn copy<T: Copy>(&self, id: ValueId, to: &mut [T], from: &[T]) -> Result<()> {
        if from.len() != to.len() {
            return Err(self.error(id, &format!("has {} elements, its op's reference wrote {}", to.len(), from.len())));
        }
        to.copy_from_slice(from);
        Ok(())
    }

    fn error(&self, id: ValueId, reason: &str) -> Error {
        Error::tensor(&self.graph.get(id).name, reason)
    }
}

impl Deref for Words<'_> {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.guard[..self.len]
    }
}

impl Deref for Numbers<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Deref for WordsMut<'_> {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.guard[..self.len]
    }
}

impl DerefMut for WordsMut<'_> {
    fn deref_mut(&mut self) -> &mut [u32] {
        &mut self.guard[..self.len]
    }
}

impl Deref for NumbersMut<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for NumbersMut<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// What an op derives from a weight once and keeps beside it, such as the weight in another order.
pub type Derived = Arc<dyn std::any::Any + Send + Sync>;

/// Says once per op name that an op runs by its reference.
pub(super) fn warn_of_reference(op: &'static str) {
    static SAID: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if lock(&SAID).insert(op) {
        log::warn!("the op {op} has no form for the processor: it runs by its reference, which is slow");
    }
}
