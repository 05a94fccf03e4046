//! The kernels that attention has, and which of them a device takes.

use std::fmt;

use super::super::tiles::has_few_registers;
use super::super::{attention_broadcast, attention_wide};
use super::SHADER;
use crate::graph::{AdapterClass, Caps, Shader};

/// How many there are of what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub samples: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub queries: usize,
    pub keys: usize,
    /// Whether four numbers can be loaded together: 4 divides D, and all widths and offsets.
    pub vec4: bool,
    /// Whether scores have a term for each query and key.
    pub position_bias: bool,
}

/// What decides which way is the fastest.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, heads, head_dim, queries, keys, .. } = self;
        write!(f, "{queries} to {keys}, {samples}x{heads} heads of {head_dim}")
    }
}

impl Shape {
    /// Workgroups that share out the columns of a head in `staged`.
    pub fn slices(self) -> usize {
        self.head_dim.div_ceil(staged_columns(self.head_dim))
    }

    pub fn workgroups(self, way: Way) -> usize {
        let tiles = |size: usize| self.samples * self.heads * self.queries.div_ceil(size);
        match way {
            Way::Direct => tiles(16).div_ceil(8),
            // The lanes of a workgroup share a head.
            Way::Broadcast { lanes } => tiles(16 * lanes as usize),
            Way::Staged => self.slices() * tiles(32),
            Way::Wide => self.slices() * tiles(64),
        }
    }

    /// The way that a device takes: the one that was measured to be fastest there, else the first.
    pub fn way(self, caps: &Caps) -> Way {
        let (first, others) = self.ways(caps);
        let chosen = caps.choices.get(SHADER.name, &self.to_string());
        others.filter(|other| chosen == Some(other.entry())).unwrap_or(first)
    }

    /// The way that is believed to be the fastest on a device, and another that it could take.
    pub fn ways(self, caps: &Caps) -> (Way, Option<Way>) {
        // Elsewhere the unrolled loads of `direct` would take a software adapter longer to compile than to run.
        let direct = self.vec4 && !self.position_bias;
        if caps.class == AdapterClass::Software {
            let lanes = caps.broadcast_lanes().filter(|&lanes| lanes_have_work(self.queries, lanes as usize));
            return match (direct, lanes) {
                (false, _) => (Way::Staged, None),
                (true, None) => (Way::Direct, None),
                (true, Some(lanes)) => (Way::Broadcast { lanes }, Some(Way::Direct)),
            };
        }
        // Large tiles need less of workgroup memory's time. They leave fewer workgroups for the GPU's units.
        let fills = self.workgroups(Way::Wide) * WIDE_THREADS >= caps.busy_threads as usize;
        match (has_few_registers(caps), self.queries > 32 && fills) {
            (true, _) => (Way::Staged, None),
            (false, true) => (Way::Wide, Some(Way::Staged)),
            (false, false) => (Way::Staged, Some(Way::Wide)),
        }
    }
}

/// Columns of a head whose output a workgroup of `staged` holds in registers; wider heads are shared out.
pub(super) fn staged_columns(head_dim: usize) -> usize {
    head_dim.next_multiple_of(32).min(128)
}

/// A kernel of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
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
    pub fn shader(self) -> &'static Shader {
        match self {
            Self::Broadcast { .. } => &attention_broadcast::SHADER,
            Self::Wide => &attention_wide::SHADER,
            Self::Direct | Self::Staged => &SHADER,
        }
    }

    pub fn entry(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Broadcast { .. } => "broadcast",
            Self::Staged => "staged",
            Self::Wide => "wide",
        }
    }

    /// Rounds of all of a thread's loops, or a few more.
    pub fn rounds(self, keys: usize, head_dim: usize) -> usize {
        match self {
            Self::Direct | Self::Broadcast { .. } => {
                keys.div_ceil(16) * (3 + head_dim.div_ceil(8) + head_dim.div_ceil(4)) + head_dim
            }
            Self::Staged => keys.div_ceil(32) * (12 + 85 * head_dim.div_ceil(32)),
            Self::Wide => keys.div_ceil(32) * (65 + 13 * head_dim.div_ceil(16)) + 16,
        }
    }
}

/// Whether lanes of 16 queries each, which share a head, are worth it: handing keys and values round is faster, but a head's
/// last workgroup may have lanes without queries.
fn lanes_have_work(queries: usize, lanes: usize) -> bool {
    let tiles = queries.div_ceil(16);
    5 * tiles >= 4 * tiles.next_multiple_of(lanes)
}
