//! What the device will do, as plain data: groups of dispatches and copies over bound buffers.

use std::sync::Arc;

use super::buffer::Storage;
use super::pipeline::Pipeline;
use crate::device::{Copy, DeviceId, Program};
use crate::{Error, Result};

/// A GPU's program: a list of commands that can be replayed into any encoder, any number of times.
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
    Dispatch {
        /// The kernel.
        pipeline: Arc<Pipeline>,
        /// What it reads and writes, bound once.
        bindings: Bindings,
        /// How many workgroups, along x, y and z.
        workgroups: [u32; 3],
    },
    /// Copies bytes between buffers.
    Copy {
        /// Read from here.
        from: Storage,
        /// At this byte.
        offset: u64,
        /// Written to the start of this.
        to: Storage,
        /// So many bytes.
        bytes: u64,
    },
}

/// A bind group and what it binds, which lives as long as it does: a buffer's memory ends with its last owner.
#[derive(Debug)]
pub(super) struct Bindings {
    pub group: wgpu::BindGroup,
    pub _buffers: Vec<Storage>,
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
            recording.push("copies", Command::Copy { from, offset, to, bytes });
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
}
