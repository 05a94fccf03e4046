//! One step of a run: how it is put to work.

use super::Run;
use crate::Result;
use crate::device::{Plan, Program};
use crate::gpu::{self, Profiler};

/// The next step of a [`Run`].
#[derive(Debug)]
pub struct Step<'a> {
    pub(super) run: &'a Run,
    /// Its number, from 0.
    pub index: usize,
    /// The number of steps.
    pub of: usize,
    /// The timestep, in training timesteps.
    pub timestep: f32,
}

impl Step<'_> {
    /// Floating-point operations of this step.
    pub fn flops(&self) -> u64 {
        self.plan().flops()
    }

    /// Hands the step to the device, as one submission, without waiting for it.
    pub fn run(&self) -> Result<()> {
        self.run.device.run(&self.programs())
    }

    /// Encodes the whole step into an encoder of the caller's, who submits it. Nothing is read back. Needs a GPU.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.programs().iter().try_for_each(|program| gpu::encode(*program, encoder))
    }

    /// As [`Step::encode`], with timestamps around each group of ops.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        let [inputs, step] = self.programs();
        gpu::encode(inputs, encoder)?;
        gpu::encode_profiled(step, encoder, profiler)
    }

    /// What puts the step's inputs in place, and the step itself.
    fn programs(&self) -> [&dyn Program; 2] {
        [self.run.inputs.of(self.index), self.plan().program()]
    }

    fn plan(&self) -> &Plan {
        &self.run.plans[self.run.plan_of[self.index]]
    }
}
