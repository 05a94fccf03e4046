//! A run that goes on elsewhere: after a lost device, in another process.

use serde::{Deserialize, Serialize};

use super::Run;
use super::step::Handed;
use crate::fingerprint::Fingerprint;
use crate::models::Sizes;
use crate::shared::lock;
use crate::tensor::Data;
use crate::{Error, Refusal, Request, Result, Tensor};

/// How far a run came, outside the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Steps taken.
    pub taken: usize,
    /// The latents, the scheduler's history and what the policy carries from step to step, one after the other: numbers
    /// by their bits, and indices.
    pub words: Vec<u32>,
    /// What tells the run from others, see [`Run::fingerprint`].
    pub fingerprint: u64,
}

/// What a request asks of a model, as a number.
pub(super) fn identity(request: &Request, pipeline: &str, sizes: Sizes) -> Result<Fingerprint> {
    // What is read beside the picture changes nothing in it.
    let json = serde_json::to_vec(&Request { traced: false, ..request.clone() });
    let json = json.map_err(|error| Error::file("the request", error.to_string()))?;
    let Sizes { layers, width, heads, channels, sample_size } = sizes;
    let mut hash = Fingerprint::default();
    hash.add(&json);
    hash.add(pipeline.as_bytes());
    hash.add_all([layers, width, heads, channels, sample_size].map(|size| size.to_string()));
    for given in [&request.init_latents, &request.image, &request.mask, &request.image_latents] {
        add_tensor(&mut hash, given.as_ref());
    }
    if let Some(given) = &request.prompt_ids {
        let (ids, mask) = given.negative.as_ref().map_or((&[][..], &[][..]), |(ids, mask)| (ids, mask));
        for words in [&given.ids[..], &given.mask, ids, mask] {
            hash.add(bytemuck::cast_slice(words));
        }
    }
    if let Some(given) = &request.prompt_embeds {
        add_tensor(&mut hash, Some(&given.embeds));
        add_tensor(&mut hash, given.negative.as_ref().map(|(embeds, _)| embeds));
        hash.add(bytemuck::cast_slice(&given.mask));
        hash.add(given.negative.as_ref().map_or(&[], |(_, mask)| bytemuck::cast_slice(mask)));
    }
    Ok(hash)
}

fn add_tensor(hash: &mut Fingerprint, tensor: Option<&Tensor>) {
    hash.add_all(tensor.iter().flat_map(|tensor| &tensor.shape).map(usize::to_string));
    hash.add(tensor.map_or(&[], Tensor::bytes));
}

impl Run {
    /// Bytes of [`Run::state`]: few, but for policies that keep whole branches for later steps.
    pub fn state_bytes(&self) -> u64 {
        4 * self.carried.iter().map(|(_, count)| *count as u64).sum::<u64>()
    }

    /// A number that runs of the same request have in common, in every process: of the same words and tensors, of a
    /// model of the same shape, with the same steps and the same policy.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.value()
    }

    /// What a later run of the same request needs to go on from here. Fails in the middle of a step.
    pub async fn state(&self) -> Result<RunState> {
        let taken = {
            let handed = lock(&self.handed);
            handed.check_between_steps()?;
            handed.steps
        };
        let mut words: Vec<u32> = Vec::new();
        for (name, _) in &self.carried {
            match self.read(name).await?.data {
                Data::F32(values) => words.extend(values.iter().map(|value| value.to_bits())),
                Data::U32(values) => words.extend(values),
            }
        }
        Ok(RunState { taken, words, fingerprint: self.fingerprint() })
    }

    /// Goes on where `state` was taken. The steps before it are not taken again. A state of another request is refused.
    pub fn resume(&mut self, state: &RunState) -> Result<()> {
        let count: usize = self.carried.iter().map(|(_, count)| count).sum();
        let own = state.fingerprint == self.fingerprint() && state.words.len() == count;
        if !own || state.taken > self.steps() {
            return Err(Refusal::ForeignState.into());
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
