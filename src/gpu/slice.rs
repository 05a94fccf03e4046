//! Programs in slices: part after part of their commands, each as large as an allowance of work.
//!
//! A step of a large model is seconds of work on a small GPU. Handed over as one submission it holds up the window of a
//! host and the whole desktop, and Windows ends it after two seconds as a hang. So a program is data that can be
//! encoded in parts: a list of commands, each with its likely cost (`cost.rs`). A [`Cursor`] is a place in such a list.
//! A dispatch that costs more than a slice is *divisible* where its kernel says so
//! ([`Dispatch::divisible`](crate::graph::Dispatch::divisible)): its workgroups are numbered, any range of them can run
//! alone, and the number of the first is in its uniform. WGSL has no such base itself. The uniforms of all portions are
//! written when the graph is compiled, so encoding allocates nothing but the first slices' timers, and portions that
//! fit one slice together are encoded as one dispatch. Every workgroup computes the same in any slice: the bytes do not
//! depend on the budget.
//!
//! How much a slice may cost follows from the budget and the speed that earlier slices showed (`pace.rs`).

use super::cost::Kernel;
use super::recording::{Command, Piece, Recording};

/// How far programs have been encoded: a place in a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Of the list.
    program: usize,
    /// Of the program.
    command: usize,
    /// Of the command, where that is a divisible dispatch.
    portion: usize,
}

/// What is encoded at once.
#[derive(Debug, Default)]
pub(super) struct Slice<'a> {
    pub pieces: Vec<Piece<'a>>,
    /// What it is likely to cost in all.
    pub cost: f64,
    /// The same, for each kernel in it.
    pub by_kernel: Vec<(Kernel, f64)>,
    /// Whether nothing follows.
    pub last: bool,
}

impl Slice<'_> {
    fn add(&mut self, kernel: Kernel, cost: f64) {
        self.cost += cost;
        match self.by_kernel.iter_mut().find(|(other, _)| *other == kernel) {
            Some((_, sum)) => *sum += cost,
            None => self.by_kernel.push((kernel, cost)),
        }
    }
}

impl Cursor {
    /// Whether nothing was encoded yet.
    pub fn is_at_start(&self) -> bool {
        *self == Self::default()
    }

    /// Takes what comes next and costs no more than `allowance`, but at least one portion of a dispatch. `factor` is
    /// what a kernel's estimate is multiplied by.
    pub(super) fn take<'a>(
        &mut self,
        programs: &[&'a Recording],
        allowance: f64,
        factor: impl Fn(Kernel) -> f64,
        most_workgroups: u32,
    ) -> Slice<'a> {
        let mut slice = Slice::default();
        while let Some(program) = programs.get(self.program) {
            for command in program.commands().skip(self.command) {
                if let Command::Run(run) = command {
                    let (portions, cost) = (run.portions.len(), run.portion_cost() * factor(run.kernel));
                    let least = usize::from(slice.cost == 0.0);
                    let fitting = ((allowance - slice.cost) / cost) as usize;
                    let end = portions.min(self.portion.saturating_add(fitting.max(least)));
                    if end > self.portion {
                        slice.add(run.kernel, (end - self.portion) as f64 * cost);
                        run.pieces(self.portion..end, most_workgroups, &mut slice.pieces);
                    }
                    if end < portions {
                        self.portion = end;
                        return slice;
                    }
                } else {
                    command.whole(&mut slice.pieces);
                }
                (self.command, self.portion) = (self.command + 1, 0);
            }
            *self = Self { program: self.program + 1, ..Self::default() };
        }
        slice.last = true;
        slice
    }
}
