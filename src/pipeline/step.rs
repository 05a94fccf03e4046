//! One step of a run, on its way to the device: whole, or slice by slice within a host's frames.

use std::time::Duration;

use super::Run;
use crate::device::{Plan, Program};
use crate::gpu::{self, Cursor, Profiler};
use crate::shared::lock;
use crate::{Error, Result};

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

/// How far the steps of a run were handed to the device.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// Steps handed over whole.
    pub steps: usize,
    /// How far the one after them is.
    pub within: Cursor,
    /// Whether the last of them is being run to its end, or nobody waited for that.
    pub running: bool,
}

impl Handed {
    /// So many steps and nothing of the next.
    pub fn after(steps: usize) -> Self {
        Self { steps, ..Self::default() }
    }

    /// The step of which a part was handed over.
    pub fn under_way(&self) -> Option<usize> {
        (!self.within.is_at_start()).then_some(self.steps)
    }

    /// Fails where a part of a step was handed over and the rest was not.
    pub fn check_between_steps(&self) -> Result<()> {
        match self.under_way() {
            Some(index) => Err(Error::Steps(format!("only a part of step {} was encoded", index + 1))),
            None if self.running => Err(Error::Steps(format!("step {} was not run to its end", self.steps))),
            None => Ok(()),
        }
    }
}

impl Step<'_> {
    /// Floating-point operations of this step.
    pub fn flops(&self) -> u64 {
        self.plan().flops()
    }

    /// Hands the step to the device without waiting for it: in one submission, or in several where it would take a GPU
    /// longer than [`Gpu::slice`](crate::Gpu::slice). A step is run or encoded once.
    pub fn run(&self) -> Result<()> {
        self.once(|| self.run.device.run(&self.programs()))
    }

    /// Runs the step to its end. A GPU receives it slice by slice, each when the one before is done, so that others who
    /// use it wait for a slice and not for a step. Where the future is dropped before, the run has ended: it can only
    /// be resumed from an earlier state.
    pub async fn run_to_end(&self) -> Result<()> {
        self.once(|| Ok(()))?;
        lock(&self.run.handed).running = true;
        self.run.device.run_to_end(&self.programs()).await?;
        lock(&self.run.handed).running = false;
        Ok(())
    }

    /// Encodes the whole step into an encoder of the caller's, who submits it. Nothing is read back. Needs a GPU. A
    /// step is run or encoded once.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.once(|| self.programs().iter().try_for_each(|program| gpu::encode(*program, encoder)))
    }

    /// Encodes the next part of the step, of about `budget` on the device, and returns whether the step is done. The
    /// caller submits the encoder before asking for the next part, in the next frame, say: until the step is done,
    /// [`Run::next_step`] returns it again.
    ///
    /// How much fits is estimated from the work's FLOPs and bytes, and from how long the parts before took. The first
    /// parts are small. The bytes of the picture do not depend on the budget. Needs a GPU.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn frame(run: &mut foveate::Run, device: &wgpu::Device, queue: &wgpu::Queue) -> foveate::Result<()> {
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// // … the frame's own passes …
    /// if let Some(step) = run.next_step() {
    ///     step.encode_slice(&mut encoder, Duration::from_millis(4))?;
    /// }
    /// queue.submit([encoder.finish()]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn encode_slice(&self, encoder: &mut wgpu::CommandEncoder, budget: Duration) -> Result<bool> {
        let gpu = self.run.device.gpu("encoding")?;
        let mut handed = lock(&self.run.handed);
        self.check_next(handed.steps)?;
        if handed.running {
            handed.check_between_steps()?;
        }
        let done = gpu.encode_slice(&self.programs(), &mut handed.within, budget, encoder)?;
        if done {
            *handed = Handed::after(self.index + 1);
        }
        Ok(done)
    }

    /// As [`Step::encode`], with timestamps around each group of ops.
    pub fn encode_profiled(&self, encoder: &mut wgpu::CommandEncoder, profiler: &mut Profiler) -> Result<()> {
        let [inputs, step] = self.programs();
        self.once(|| {
            gpu::encode(inputs, encoder)?;
            gpu::encode_profiled(step, encoder, profiler)
        })
    }

    /// Hands the step over by `encode`, where it is the next to be handed over. It is not where that failed.
    fn once(&self, encode: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut handed = lock(&self.run.handed);
        self.check_next(handed.steps)?;
        handed.check_between_steps()?;
        encode()?;
        *handed = Handed::after(self.index + 1);
        Ok(())
    }

    /// Fails where another step is the next.
    fn check_next(&self, steps: usize) -> Result<()> {
        let index = self.index;
        match index.cmp(&steps) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => {
                Err(Error::Steps(format!("step {} of {} was encoded already", index + 1, self.of)))
            }
            std::cmp::Ordering::Greater => {
                let (next, of) = (steps + 1, self.of);
                Err(Error::Steps(format!("step {} of {of} follows step {next}, which was not encoded", index + 1)))
            }
        }
    }

    /// What puts the step's inputs in place, and the step itself.
    fn programs(&self) -> [&dyn Program; 2] {
        [self.run.inputs.of(self.index), self.plan().program()]
    }

    fn plan(&self) -> &Plan {
        &self.run.plans[self.run.plan_of[self.index]]
    }
}
