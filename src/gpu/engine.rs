//! The one file that touches a command encoder: replays a recording.

use super::{Buffer, Command, Gpu, Group, Profiler, Recording};

impl Recording {
    /// Encodes every command, in one compute pass as far as copies allow. Nothing is allocated, nothing read back.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
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
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) {
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
        profiler.resolve(encoder);
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

    pub(super) fn submit_copy(&self, from: &Buffer, to: &wgpu::Buffer, bytes: u64) {
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(&from.0, 0, to, 0, bytes);
        self.submit(encoder);
    }
}
