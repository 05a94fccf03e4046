//! Compression: which rows of the residual stream each sublayer computes on. Models call the driver and name no method;
//! methods are [`Policy`]s and never see a model.

mod any;
mod bipartite;
mod block;
mod compression;
mod dense;
mod diffcr;
mod kept_ratio;
mod kv;
mod masked;
mod parameters;
mod policy;
mod registry;
mod routed;
mod rows;
mod sdtm;
mod step_cache;
mod tome;
pub mod trace;
mod trained;

pub use any::{AnyPolicy, PolicyStep, PolicySteps};
pub use block::{Attend, Block, Streams};
pub use compression::Compression;
pub use dense::Dense;
pub use diffcr::{DiffcrConfig, Scale};
pub use kept_ratio::{KeptRatios, kept_tokens};
pub use kv::{Kv, KvKind, Sampling};
pub use masked::{Among, Decode, Marked, Masked, MaskedCompute};
pub use parameters::{Parameter, Parameters, Values};
pub use policy::{BlockInput, Policy, RunAt, StepAt};
pub use registry::{Choice, Policies, PolicyKind, Traces};
pub use routed::{Diffcr, Mod, Routed, Routers};
pub use rows::{BlockRows, Compaction, Context, Remembered, Sublayer};
pub use sdtm::{Sdtm, SdtmKind};
pub use step_cache::{Cached, Span, StepCache};
pub use tome::{Tome, TomeKind};
pub use trained::Trained;

/// Stored values whose names begin so are handed from step to step by a policy. They belong to the run: they are zeroed
/// when it starts, and are part of [`Run::state`](crate::Run::state).
pub const CARRIED: &str = "carried.";

/// Stored where a policy asks for it: how much attention each token receives in a layer `[B, N]`, 1 on average.
pub fn attentiveness_name(layer: usize) -> String {
    format!("{CARRIED}attentiveness.{layer}")
}
