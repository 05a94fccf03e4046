//! What the device will do, as plain data: groups of dispatches and copies over bound buffers.

use std::sync::Arc;

use super::{Buffer, Gpu, Pipeline};
use crate::{Error, Result};

/// A list of commands that can be replayed into any encoder, any number of times.
#[derive(Debug, Default)]
pub struct Recording {
    /// In order; each is one row of a profile.
    pub groups: Vec<Group>,
}

/// Commands that belong together in a reader's eye ("block 3 attention").
#[derive(Debug)]
pub struct Group {
    /// Shown in profiles and captures.
    pub label: String,
    /// In order.
    pub commands: Vec<Command>,
}

/// One thing the device does.
#[derive(Debug)]
pub enum Command {
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
        from: Buffer,
        /// At this byte.
        offset: u64,
        /// Written to the start of this.
        to: Buffer,
        /// So many bytes.
        bytes: u64,
    },
}

/// A bind group and what it binds, which lives as long as it does: a buffer's memory ends with its last owner.
#[derive(Debug)]
pub struct Bindings {
    pub(super) group: wgpu::BindGroup,
    _buffers: Vec<Buffer>,
}

impl Recording {
    /// Appends `command` to the last group, or to a new one when `label` differs.
    pub fn push(&mut self, label: &str, command: Command) {
        match self.groups.last_mut() {
            Some(group) if group.label == label => group.commands.push(command),
            _ => self.groups.push(Group { label: label.to_owned(), commands: vec![command] }),
        }
    }

    /// How many commands there are.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|g| g.commands.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl Gpu {
    /// Binds `params` (a uniform, binding 0, at `offset` of its buffer) and `buffers` (bindings 1…) for `pipeline`.
    pub(crate) async fn bind(
        &self,
        what: &str,
        pipeline: &Pipeline,
        params: (&Buffer, u64, u64),
        buffers: &[&Buffer],
    ) -> Result<Bindings> {
        let (uniform, offset, size) = params;
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &uniform.0,
                offset,
                size: wgpu::BufferSize::new(size),
            }),
        }];
        entries.extend(
            buffers
                .iter()
                .zip(1..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.0.as_entire_binding() }),
        );
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(what),
            layout: &pipeline.layout,
            entries: &entries,
        });
        match self.unless_lost(scope.pop()).await? {
            None => {
                let bound = buffers.iter().copied().chain([uniform]).cloned();
                Ok(Bindings { group, _buffers: bound.collect() })
            }
            Some(error) => {
                let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                Err(Error::Gpu(format!("binding {what}: {reason}")))
            }
        }
    }
}
