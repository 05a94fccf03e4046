//! What the device will do, as plain data: groups of dispatches and copies over bound buffers.

use std::ops::Range;
use std::sync::Arc;

use super::buffer::Storage;
use super::cost::Kernel;
use super::pipeline::Pipeline;
use crate::device::{Copy, DeviceId, Program};
use crate::{Error, Result};

/// A GPU's program: a list of commands that can be replayed into any encoder, any number of times, whole or in slices.
#[derive(Debug)]
pub struct Recording {
    /// Of the GPU that made it.
    device: DeviceId,
    /// In order; each is one row of a profile.
    pub(super) groups: Vec<Group>,
}

/// Commands that belong together in a reader's eye ("block 3 attention").
#[derive(Debug)]
pub(super) struct Group {
    /// Shown in profiles and captures.
    pub label: String,
    /// In order.
    pub commands: Vec<Command>,
}

/// One thing the device does.
#[derive(Debug)]
pub(super) enum Command {
    /// Runs a kernel.
    Run(Run),
    /// Copies bytes between buffers.
    Copy(Bytes),
}

/// A kernel over bound buffers.
#[derive(Debug)]
pub(super) struct Run {
    /// The kernel.
    pub pipeline: Arc<Pipeline>,
    /// What it reads and writes, bound once.
    pub bindings: Bindings,
    /// How many workgroups, along x, y and z.
    pub workgroups: [u32; 3],
    /// Which of them can run by themselves: one portion for all where the kernel is not divisible.
    pub portions: Vec<Portion>,
    /// What all of it is likely to cost.
    pub cost: f64,
    /// Its shader and entry point, by which its cost is corrected.
    pub kernel: Kernel,
}

/// Workgroups from `first` on, up to the next portion's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portion {
    pub first: u32,
    /// Where its uniform begins in the buffer of uniforms.
    pub params: u32,
}

/// Copies bytes between buffers.
#[derive(Debug)]
pub(super) struct Bytes {
    /// Read from here.
    pub from: Storage,
    /// At this byte.
    pub offset: u64,
    /// Written to the start of this.
    pub to: Storage,
    /// So many bytes.
    pub bytes: u64,
}

/// What is encoded of a command at once: a part of a kernel's workgroups, or a copy.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// Some workgroups of a dispatch, with the uniform at this offset.
    Run { run: &'a Run, params: u32, workgroups: [u32; 3] },
    /// A copy of bytes.
    Copy { from: &'a wgpu::Buffer, offset: u64, to: &'a wgpu::Buffer, bytes: u64 },
}

/// A bind group and what it binds, which lives as long as it does: a buffer's memory ends with its last owner.
#[derive(Debug)]
pub(super) struct Bindings {
    pub group: wgpu::BindGroup,
    pub _buffers: Vec<Storage>,
}

impl Piece<'_> {
    pub fn is_run(&self) -> bool {
        matches!(self, Self::Run { .. })
    }
}

impl Program for Recording {
    fn device(&self) -> DeviceId {
        self.device
    }
}

impl Recording {
    /// An empty one.
    pub(super) fn new(device: DeviceId) -> Self {
        Self { device, groups: Vec::new() }
    }

    /// The recording behind a program; an error where no GPU made it.
    pub(super) fn of(program: &dyn Program) -> Result<&Self> {
        program.behind().ok_or_else(|| Error::NotThisDevice { what: "a program".into() })
    }

    /// Copies between buffers.
    pub(super) fn copies(device: DeviceId, copies: Vec<Copy>) -> Result<Self> {
        let mut recording = Self::new(device);
        for copy in copies {
            let (from, to) = (copy.from.storage(device)?.clone(), copy.to.storage(device)?.clone());
            copy.check()?;
            let Copy { offset, bytes, .. } = copy;
            recording.push("copies", Command::Copy(Bytes { from, offset, to, bytes }));
        }
        Ok(recording)
    }

    /// Appends `command` to the last group, or to a new one when `label` differs.
    pub(super) fn push(&mut self, label: &str, command: Command) {
        match self.groups.last_mut() {
            Some(group) if group.label == label => group.commands.push(command),
            _ => self.groups.push(Group { label: label.to_owned(), commands: vec![command] }),
        }
    }

    /// Every command in order.
    pub(super) fn commands(&self) -> impl Iterator<Item = &Command> {
        self.groups.iter().flat_map(|group| &group.commands)
    }
}

impl Command {
    /// Adds all of it.
    pub fn whole<'a>(&'a self, pieces: &mut Vec<Piece<'a>>) {
        match self {
            Self::Copy(Bytes { from, offset, to, bytes }) => {
                pieces.push(Piece::Copy { from: &from.0, offset: *offset, to: &to.0, bytes: *bytes });
            }
            Self::Run(run) => run.pieces(0..run.portions.len(), 1, pieces),
        }
    }
}

impl Run {
    /// What one portion is likely to cost.
    pub fn portion_cost(&self) -> f64 {
        self.cost / self.portions.len() as f64
    }

    /// Adds the workgroups of some portions: as one dispatch, or as several where a line of them would be longer than
    /// the device allows.
    pub fn pieces<'a>(&'a self, mut range: Range<usize>, most_workgroups: u32, pieces: &mut Vec<Piece<'a>>) {
        let all = 0..self.portions.len();
        if range == all {
            let params = self.portions[0].params;
            return pieces.push(Piece::Run { run: self, params, workgroups: self.workgroups });
        }
        while !range.is_empty() {
            let Portion { first, params } = self.portions[range.start];
            let count = |end: usize| self.first(end) - first;
            let fits = |&end: &usize| end == range.start + 1 || count(end) <= most_workgroups;
            let end = (range.start + 1..=range.end).rev().find(fits).unwrap_or(range.end);
            pieces.push(Piece::Run { run: self, params, workgroups: [count(end), 1, 1] });
            range.start = end;
        }
    }

    /// The number of the first workgroup of a portion, or of the one after the last.
    fn first(&self, portion: usize) -> u32 {
        let all = || self.workgroups.iter().product();
        self.portions.get(portion).map_or_else(all, |portion| portion.first)
    }
}
