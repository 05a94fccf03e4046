//! The right side of a product, in the order in which tiles read it: panels of a few vectors of columns, each panel row
//! after row.

use std::ops::Range;
use std::sync::Arc;

use super::lanes;
use crate::graph::host::{Host, Words};
use crate::graph::{Element, Graph, ValueId};
use crate::weights::Format;
use crate::{Error, Result};

/// Vectors of a panel's row; the last panel may have fewer. Two in a browser: see `tile::rows`.
pub const VECTORS: usize = if cfg!(target_arch = "wasm32") { 2 } else { 3 };

/// The right side of a product, panel by panel.
pub trait Right: Sync {
    /// Its columns.
    fn columns(&self) -> usize;

    /// The panel that begins at column `first`, a multiple of a panel's width: for each row `width` numbers, those
    /// beyond the last column arbitrary. `scratch` may hold it.
    fn panel<'a>(&'a self, first: usize, width: usize, scratch: &'a mut Vec<f32>) -> &'a [f32];

    /// Whether a panel is made anew each time: then it should be asked for rarely.
    fn is_made_anew(&self) -> bool {
        false
    }
}

/// Panels in memory.
#[derive(Debug)]
pub struct Panels {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
}

/// A panel's full width.
pub fn full_width() -> usize {
    VECTORS * lanes()
}

/// The width of the panel that begins at column `first` of `columns`.
pub fn width(first: usize, columns: usize, lanes: usize) -> usize {
    (columns - first).next_multiple_of(lanes).min(VECTORS * lanes)
}

impl Panels {
    /// Of a matrix given by its columns, as weights `[columns, rows]` are: `column` gives one.
    pub fn of_columns<'a>(rows: usize, columns: usize, column: impl Fn(usize) -> &'a [f32]) -> Self {
        Self::of(rows, columns, |panel, width, range| fill(panel, width, rows, range.map(&column)))
    }

    /// Of a matrix given by its rows.
    pub fn of_rows<'a>(rows: usize, columns: usize, row: impl Fn(usize) -> &'a [f32]) -> Self {
        Self::of(rows, columns, |panel, width, range| {
            for (i, to) in panel.chunks_exact_mut(width).enumerate() {
                to[..range.len()].copy_from_slice(&row(i)[range.clone()]);
            }
        })
    }

    /// `write` fills one panel after the other: it is given the panel, its width, and the columns that go there.
    fn of(rows: usize, columns: usize, write: impl Fn(&mut [f32], usize, Range<usize>)) -> Self {
        let mut values = vec![0.0; rows * columns.next_multiple_of(lanes())];
        let (mut rest, full) = (&mut values[..], full_width());
        for first in (0..columns).step_by(full) {
            let width = width(first, columns, lanes());
            let (panel, after) = rest.split_at_mut(rows * width);
            rest = after;
            write(panel, width, first..columns.min(first + full));
        }
        Self { values, rows, columns }
    }

    /// Some of the rows of each panel.
    pub fn slice(&self, rows: Range<usize>) -> Slice<'_> {
        Slice { panels: self, rows }
    }
}

/// Some of the rows of each panel.
#[derive(Debug)]
pub struct Slice<'p> {
    panels: &'p Panels,
    rows: Range<usize>,
}

impl Right for Slice<'_> {
    fn columns(&self) -> usize {
        self.panels.columns
    }

    #[inline(always)]
    fn panel<'a>(&'a self, first: usize, width: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        &self.panels.panel(first, width, scratch)[self.rows.start * width..self.rows.end * width]
    }
}

impl Right for Panels {
    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    fn panel<'a>(&'a self, first: usize, width: usize, _: &'a mut Vec<f32>) -> &'a [f32] {
        // All panels before it are full.
        &self.values[first * self.rows..][..width * self.rows]
    }
}

/// Writes columns side by side, a block of rows at a time: the lines that it writes to stay in cache.
fn fill<'a>(panel: &mut [f32], width: usize, rows: usize, columns: impl Iterator<Item = &'a [f32]> + Clone) {
    for from in (0..rows).step_by(64) {
        let range = from..rows.min(from + 64);
        for (i, column) in columns.clone().enumerate() {
            let places = panel[range.start * width + i..].iter_mut().step_by(width);
            column[range.clone()].iter().zip(places).for_each(|(&value, place)| *place = value);
        }
    }
}

/// A packed weight `[columns, rows]` as the right side of a product.
#[derive(Debug)]
pub enum Weight<'a> {
    /// Packed in panels once.
    Kept(Arc<Panels>),
    /// Decoded a panel at a time.
    Decoded {
        /// As stored.
        words: Words<'a>,
        /// How it is stored.
        format: Format,
        /// Rows of the panels: the length of a row as stored.
        rows: usize,
        /// Columns.
        columns: usize,
    },
}

impl<'a> Weight<'a> {
    /// The weight `id`: in panels, where they fit the budget.
    pub fn load(graph: &Graph, host: &Host<'a>, id: ValueId) -> Result<Self> {
        let memory = host.memory(id)?;
        if let Some(panels) = memory.derived::<Panels>() {
            return Ok(Self::Kept(panels));
        }
        let value = graph.get(id);
        let Element::Packed(format) = value.element else {
            return Err(Error::tensor(&value.name, "is no packed weight"));
        };
        let (columns, rows) = value.matrix();
        let words = host.words(id)?;
        let weight = Self::Decoded { words, format, rows, columns };
        let Some(reserved) = host.budget().reserve(4 * (rows * columns.next_multiple_of(lanes())) as u64) else {
            return Ok(weight);
        };
        let parts = host.pool().map(columns.div_ceil(full_width()), |part| {
            let first = part * full_width();
            let mut panel = Vec::new();
            weight.panel(first, width(first, columns, lanes()), &mut panel);
            panel
        });
        let panels = Arc::new(Panels { values: parts.concat(), rows, columns });
        memory.keep(panels.clone(), reserved);
        Ok(Self::Kept(panels))
    }
}

impl Right for Weight<'_> {
    fn columns(&self) -> usize {
        match self {
            Self::Kept(panels) => panels.columns,
            Self::Decoded { columns, .. } => *columns,
        }
    }

    fn panel<'a>(&'a self, first: usize, width: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Self::Kept(panels) => panels.panel(first, width, scratch),
            Self::Decoded { words, format, rows, columns } => {
                let stride = format.row_words(*rows);
                let columns = first..(*columns).min(first + width);
                let words = &words[columns.start * stride..columns.end * stride];
                scratch.clear();
                scratch.resize(rows * width, 0.0);
                match format {
                    Format::F32 => {
                        let numbers: &[f32] = bytemuck::cast_slice(words);
                        fill(scratch, width, *rows, numbers.chunks_exact(stride).map(|row| &row[..*rows]));
                    }
                    _ => {
                        let numbers = format.decode_rows(words, *rows);
                        fill(scratch, width, *rows, numbers.chunks_exact(*rows));
                    }
                }
                scratch
            }
        }
    }

    fn is_made_anew(&self) -> bool {
        matches!(self, Self::Decoded { .. })
    }
}
