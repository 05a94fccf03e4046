//! What goes through the autoencoder: a picture, or parts of one beside a sample of its pixels.
//!
//! Group norms have statistics of the whole picture. A part alone would be normalised by its own, and come out in other
//! tones. So a sample of the picture's pixels goes with the parts, and all are normalised by its statistics.

use crate::graph::{Graph, ValueId};
use crate::kernels;
use crate::{Area, Result};

/// Images that are all normalised by the statistics of the first.
#[derive(Clone, Debug)]
pub(super) struct Images {
    /// A picture; or a sample of its pixels.
    pub first: ValueId,
    /// Parts of the picture.
    pub parts: Vec<ValueId>,
}

impl Images {
    /// Each of them, changed: `change` is given the image, and the one whose statistics it has where that is another.
    pub fn each(&self, mut change: impl FnMut(ValueId, Option<ValueId>) -> Result<ValueId>) -> Result<Self> {
        let first = change(self.first, None)?;
        let parts = self.parts.iter().map(|&part| change(part, Some(self.first))).collect::<Result<_>>()?;
        Ok(Self { first, parts })
    }

    /// The parts without what surrounds `areas` in them: they are parts of `wider` areas.
    pub fn trimmed(self, graph: &mut Graph, wider: &[Area], areas: &[Area]) -> Result<Self> {
        let places = areas.iter().zip(wider).map(|(area, wider)| area.within(wider));
        let parts = self.parts.iter().zip(places).map(|(&part, place)| kernels::crop(graph, part, &place, 1));
        Ok(Self { first: self.first, parts: parts.collect::<Result<_>>()? })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = ValueId> {
        std::iter::once(self.first).chain(self.parts.iter().copied())
    }
}

impl From<ValueId> for Images {
    fn from(picture: ValueId) -> Self {
        Self { first: picture, parts: Vec::new() }
    }
}

/// What of a picture goes on behind the keys of the middle block's attention.
#[derive(Clone, Copy, Debug)]
pub(super) enum GoesOn<'a> {
    /// All of it.
    All,
    /// A sample of its pixels, and parts of it.
    Parts {
        /// Of so many pixels, each way, one is in the sample.
        every: usize,
        /// The parts.
        areas: &'a [Area],
    },
}

impl GoesOn<'_> {
    /// What of the picture `x [B, C, H, W]` goes on.
    pub fn of(self, graph: &mut Graph, x: ValueId) -> Result<Images> {
        let Self::Parts { every, areas } = self else { return Ok(x.into()) };
        let [_, _, height, width] = graph.dims("autoencoder", x)?;
        let from = |side: usize| (every / 2).min(side.saturating_sub(1))..side;
        let first = kernels::crop(graph, x, &Area { rows: from(height), columns: from(width) }, every)?;
        let parts = areas.iter().map(|area| kernels::crop(graph, x, area, 1)).collect::<Result<_>>()?;
        Ok(Images { first, parts })
    }
}
