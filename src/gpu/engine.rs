//! The one file that puts commands into a command encoder: replays recordings, and copies what is read back or shown.

use super::recording::{Command, Group, Recording};
use super::{Gpu, Profiler};
use crate::Result;
use crate::device::{Plan, Program};

/// Encodes a program of a GPU into the host's encoder; an error where another device made it.
pub fn encode(program: &dyn Program, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
    Recording::of(program)?.encode(encoder);
    Ok(())
}

/// As [`encode`], with one pass per group and timestamps at its ends.
pub fn encode_profiled(
    program: &dyn Program,
    encoder: &mut wgpu::CommandEncoder,
    profiler: &mut Profiler,
) -> Result<()> {
    Recording::of(program)?.encode_profiled(encoder, profiler)
}

/// For hosts that own the encoder.
impl Plan {
    /// Encodes it into the host's encoder; an error where another device compiled it.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        encode(self.program(), encoder)
    }

    /// As [`Plan::encode`], with one pass per group and timestamps at its ends.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        encode_profiled(self.program(), encoder, profiler)
    }
}

impl Recording {
    /// Encodes every command, in one compute pass as far as copies allow. Nothing is allocated, nothing read back.
    pub(super) fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut commands = self.groups.iter().flat_map(|g| &g.commands).peekable();
        while let Some(command) = commands.peek() {
            if let Command::Copy { .. } = command {
                commands.next().into_iter().for_each(|copy| encode_copy(copy, encoder));
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            while let Some(dispatch) = commands.next_if(|c| matches!(c, Command::Dispatch { .. })) {
                encode_dispatch(dispatch, &mut pass);
            }
        }
    }

    /// As [`Recording::encode`], with one pass per group and timestamps at its ends.
    fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        for Group { label, commands } in &self.groups {
            commands.iter().for_each(|c| encode_copy(c, encoder));
            if !commands.iter().any(|c| matches!(c, Command::Dispatch { .. })) {
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(label),
                timestamp_writes: profiler.span(label),
            });
            commands.iter().for_each(|c| encode_dispatch(c, &mut pass));
        }
        let (queries, used, to) = profiler.used()?;
        encoder.resolve_query_set(queries, used, to, 0);
        Ok(())
    }
}

fn encode_copy(command: &Command, encoder: &mut wgpu::CommandEncoder) {
    if let Command::Copy { from, offset, to, bytes } = command {
        encoder.copy_buffer_to_buffer(&from.0, *offset, &to.0, 0, *bytes);
    }
}

fn encode_dispatch(command: &Command, pass: &mut wgpu::ComputePass<'_>) {
    if let Command::Dispatch { pipeline, bindings, workgroups: [x, y, z] } = command {
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &bindings.group, &[]);
        pass.dispatch_workgroups(*x, *y, *z);
    }
}

impl Gpu {
    /// A fresh encoder.
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") })
    }

    /// Submits what was encoded.
    pub fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.queue().submit([encoder.finish()]);
    }

    pub(super) fn submit_copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer, bytes: u64) {
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
        self.submit(encoder);
    }

    /// Copies rows of `row_bytes` bytes each into a texture.
    pub(super) fn submit_picture(&self, pixels: &wgpu::Buffer, row_bytes: u32, texture: &wgpu::Texture) {
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes), rows_per_image: None };
        let from = wgpu::TexelCopyBufferInfo { buffer: pixels, layout };
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_texture(from, texture.as_image_copy(), texture.size());
        self.submit(encoder);
    }
}
