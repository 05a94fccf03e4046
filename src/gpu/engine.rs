//! The one file that puts commands into a command encoder: encodes recordings, whole or in slices, and copies what is
//! read back or shown.

use std::time::Duration;

use super::recording::{Command, Group, Piece, Recording};
use super::slice::{Cursor, Slice};
use super::{Gpu, Profiler};
use crate::Result;
use crate::device::{Plan, Program};

/// Encodes a program of a GPU into an encoder of that GPU's device; an error where no GPU made it.
pub fn encode(program: &dyn Program, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
    let mut pieces = Vec::new();
    Recording::of(program)?.commands().for_each(|command| command.whole(&mut pieces));
    encode_pieces(&pieces, encoder, None);
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
    /// Encodes it into the host's encoder, of the same device; an error where no GPU compiled it.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        encode(self.program(), encoder)
    }

    /// As [`Plan::encode`], with one pass per group and timestamps at its ends.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        encode_profiled(self.program(), encoder, profiler)
    }
}

impl Gpu {
    /// Encodes the next part of `programs`, from `at` on, of about `budget` on the device; whether nothing is left.
    /// The host submits the encoder before it asks for the next part. How much fits is learnt from the parts before:
    /// see `pace.rs` and `stopwatch.rs`. Where even the smallest part takes longer, that is encoded.
    pub fn encode_slice(
        &self,
        programs: &[&dyn Program],
        at: &mut Cursor,
        budget: Duration,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<bool> {
        let recordings: Vec<&Recording> =
            programs.iter().map(|program| program.of(self.id())).collect::<Result<_>>()?;
        let Slice { pieces, by_kernel, last, .. } = {
            let pace = self.stopwatch().pace();
            at.take(&recordings, pace.allowance(budget), |kernel| pace.factor(kernel), self.caps().max_workgroups)
        };
        let lap = self.stopwatch().start(self, by_kernel, budget);
        encode_pieces(&pieces, encoder, lap.queries());
        lap.stop(encoder);
        Ok(last)
    }

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
}

impl Recording {
    /// Encodes every command, with one pass per group and timestamps at its ends.
    fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        for Group { label, commands } in &self.groups {
            let mut pieces = Vec::new();
            let copies = commands.iter().filter(|command| matches!(command, Command::Copy(_)));
            copies.for_each(|copy| copy.whole(&mut pieces));
            encode_pieces(&pieces, encoder, None);
            if pieces.len() == commands.len() {
                continue;
            }
            pieces.clear();
            let runs = commands.iter().filter(|command| matches!(command, Command::Run(_)));
            runs.for_each(|run| run.whole(&mut pieces));
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(label),
                timestamp_writes: profiler.span(label),
            });
            pieces.iter().for_each(|piece| encode_run(piece, &mut pass));
        }
        let (queries, used, to) = profiler.used()?;
        encoder.resolve_query_set(queries, used, to, 0);
        Ok(())
    }
}

/// Encodes pieces in one compute pass as far as copies allow, with timestamps before the first pass and after the last.
/// Nothing is allocated on the device, nothing read back.
fn encode_pieces(pieces: &[Piece<'_>], encoder: &mut wgpu::CommandEncoder, queries: Option<&wgpu::QuerySet>) {
    let passes = || pieces.chunk_by(|a, b| a.is_run() == b.is_run());
    let (count, mut pass_number) = (passes().filter(|pass| pass[0].is_run()).count(), 0);
    for pieces in passes() {
        if !pieces[0].is_run() {
            pieces.iter().for_each(|copy| encode_copy(copy, encoder));
            continue;
        }
        pass_number += 1;
        let (first, last) = (pass_number == 1, pass_number == count);
        let timestamps = |query_set| wgpu::ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: last.then_some(1),
        };
        let timestamp_writes = queries.filter(|_| first || last).map(timestamps);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
        pieces.iter().for_each(|run| encode_run(run, &mut pass));
    }
}

fn encode_copy(piece: &Piece<'_>, encoder: &mut wgpu::CommandEncoder) {
    if let Piece::Copy { from, offset, to, bytes } = piece {
        encoder.copy_buffer_to_buffer(from, *offset, to, 0, *bytes);
    }
}

fn encode_run(piece: &Piece<'_>, pass: &mut wgpu::ComputePass<'_>) {
    if let Piece::Run { run, params, workgroups: [x, y, z] } = piece {
        pass.set_pipeline(&run.pipeline.raw);
        pass.set_bind_group(0, &run.bindings.group, &[*params]);
        pass.dispatch_workgroups(*x, *y, *z);
    }
}

/// Encodes the way of two timestamps to where they can be read.
pub(super) fn encode_timestamps(
    set: &wgpu::QuerySet,
    resolved: &wgpu::Buffer,
    readback: &wgpu::Buffer,
    encoder: &mut wgpu::CommandEncoder,
) {
    encoder.resolve_query_set(set, 0..2, resolved, 0);
    encoder.copy_buffer_to_buffer(resolved, 0, readback, 0, resolved.size());
}

/// Encodes the copy of rows of `row_bytes` bytes each into a texture.
pub(super) fn encode_picture(
    pixels: &wgpu::Buffer,
    row_bytes: u32,
    texture: &wgpu::Texture,
    encoder: &mut wgpu::CommandEncoder,
) {
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes), rows_per_image: None };
    let from = wgpu::TexelCopyBufferInfo { buffer: pixels, layout };
    encoder.copy_buffer_to_texture(from, texture.as_image_copy(), texture.size());
}
