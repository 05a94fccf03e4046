//! A run that goes on elsewhere: after a lost device, in another process.

use serde::{Deserialize, Serialize};

use super::Run;
use super::step::Handed;
use crate::shared::lock;
use crate::tensor::Data;
use crate::{Error, Result};

/// How far a run came, outside the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Steps taken.
    pub taken: usize,
    /// The latents, the scheduler's history and what the policy carries from step to step, one after the other: numbers
    /// by their bits, and indices.
    pub words: Vec<u32>,
}

impl Run {
    /// Bytes of [`Run::state`]: few, but for policies that keep whole branches for later steps.
    pub fn state_bytes(&self) -> u64 {
        4 * self.carried.iter().map(|(_, count)| *count as u64).sum::<u64>()
    }

    /// What a later run of the same request needs to go on from here. Fails in the middle of a step.
    pub async fn state(&self) -> Result<RunState> {
        lock(&self.handed).check_between_steps()?;
        let mut words: Vec<u32> = Vec::new();
        for (name, _) in &self.carried {
            match self.read(name).await?.data {
                Data::F32(values) => words.extend(values.iter().map(|value| value.to_bits())),
                Data::U32(values) => words.extend(values),
            }
        }
        Ok(RunState { taken: self.at, words })
    }

    /// Goes on where `state` was taken. The steps before it are not taken again.
    pub fn resume(&mut self, state: &RunState) -> Result<()> {
        let count: usize = self.carried.iter().map(|(_, count)| count).sum();
        if state.taken > self.steps() || state.words.len() != count {
            return Err(Error::Usage("the state to resume from belongs to another request".into()));
        }
        let mut words = state.words.as_slice();
        for (name, count) in &self.carried {
            let (own, rest) = words.split_at(*count);
            self.store.write(&self.device, name, bytemuck::cast_slice(own))?;
            words = rest;
        }
        (self.at, self.since) = (state.taken, state.taken);
        *lock(&self.handed) = Handed::after(state.taken);
        Ok(())
    }
}
